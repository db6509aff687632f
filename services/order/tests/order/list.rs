//! ListOrders.

use seawall_proto::seawall::order::v1::{ListOrdersRequest, ListOrdersResponse};
use seawall_testkit::Refusal;
use tokio::task::JoinSet;
use tonic::Status;

use crate::harness::{ANN, BOB, Client, line, money, on_each_engine, place, refusal, request};

async fn page(client: &Client, user_id: &str, page_size: i32, token: &str) -> Result<ListOrdersResponse, Status> {
    let request = ListOrdersRequest { user_id: user_id.into(), page_size, page_token: token.into() };
    client.clone().list_orders(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn pages_show_every_order_of_one_user_once_oldest_first_while_others_come() {
    on_each_engine(async |stack| {
        let mut expected = Vec::new();
        for n in 0..5 {
            expected.push(place(&stack.client, request(ANN, &format!("k{n}"))).await.unwrap());
            place(&stack.client, request(BOB, &format!("k{n}"))).await.unwrap();
        }
        let (mut seen, mut token) = (Vec::new(), String::new());
        for n in 5.. {
            let page = page(&stack.client, ANN, 2, &token).await.unwrap();
            assert!(page.orders.len() == 2 || page.next_page_token.is_empty());
            seen.extend(page.orders);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            if n < 8 {
                expected.push(place(&stack.client, request(ANN, &format!("k{n}"))).await.unwrap());
            }
        }
        assert_eq!(seen, expected);
        assert_eq!(seen.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn a_token_is_good_for_one_user() {
    on_each_engine(async |stack| {
        for n in 0..2 {
            place(&stack.client, request(ANN, &format!("k{n}"))).await.unwrap();
        }
        let token = page(&stack.client, ANN, 1, "").await.unwrap().next_page_token;
        assert_eq!(page(&stack.client, ANN, 1, &token).await.unwrap().orders.len(), 1);
        assert_eq!(refusal(page(&stack.client, BOB, 1, &token).await), Refusal::bad(&["page_token"]));
        assert_eq!(
            refusal(page(&stack.client, ANN, 1_001, "forged").await),
            Refusal::bad(&["page_size", "page_token"])
        );
        assert_eq!(refusal(page(&stack.client, "x", -1, "").await), Refusal::bad(&["user_id", "page_size"]));
        assert_eq!(page(&stack.client, BOB, 0, "").await.unwrap(), ListOrdersResponse::default());
    })
    .await;
}

/// 101 orders of 100 lines are more than one message can carry.
#[tokio::test]
async fn a_page_of_large_orders_ends_early() {
    on_each_engine(async |stack| {
        let mut calls = JoinSet::new();
        for n in 0..101 {
            let (client, mut large) = (stack.client.clone(), request(ANN, &format!("k{n}")));
            large.lines = (0..100).map(|n| line(&format!("{n}{}", "🐚".repeat(61)), 1, money("EUR", 1, 0))).collect();
            calls.spawn(async move { place(&client, large).await.unwrap().order_id });
            if calls.len() == 5 {
                calls.join_next().await.unwrap().unwrap();
            }
        }
        calls.join_all().await;

        let first = page(&stack.client, ANN, 1_000, "").await.unwrap();
        assert_eq!(first.orders.len(), 100);
        assert!(first.orders.iter().all(|order| order.lines.len() == 100));
        let last = page(&stack.client, ANN, 1_000, &first.next_page_token).await.unwrap();
        assert_eq!((last.orders.len(), last.next_page_token.as_str()), (1, ""));
        assert!(last.orders[0].order_id > first.orders[99].order_id);
    })
    .await;
}
