//! PlaceOrder: what is stored, what is refused, and one answer for each idempotency key.

use std::sync::Arc;

use seawall_proto::seawall::order::v1::{CancelOrderRequest, ListOrdersRequest, OrderState, PlaceOrderRequest};
use seawall_testkit::Refusal;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{ANN, BOB, Client, line, money, on_each_engine, place, refusal, request};
use crate::users::Mood;

/// How many orders a user has, up to 1,000.
async fn count(client: &Client, user_id: &str) -> usize {
    let request = ListOrdersRequest { user_id: user_id.into(), page_size: 1_000, page_token: String::new() };
    client.clone().list_orders(request).await.unwrap().into_inner().orders.len()
}

#[tokio::test]
async fn an_order_has_what_was_asked_and_what_is_assigned() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(&ANN.to_uppercase(), "k1")).await.unwrap();
        assert_eq!(order.user_id, ANN);
        assert_eq!(order.lines, request(ANN, "k1").lines);
        assert_eq!(order.total, Some(money("EUR", 31, 490_000_000)));
        assert_eq!(order.state(), OrderState::Placed);
        // The 15th character of a UUID is its version.
        assert_eq!((order.order_id.len(), order.order_id.as_bytes()[14]), (36, b'7'));
        assert!(order.create_time.is_some_and(|time| time.seconds > 1_700_000_000));
        assert_eq!(order.create_time, order.update_time);
    })
    .await;
}

#[tokio::test]
async fn every_bad_field_is_named() {
    on_each_engine(async |stack| {
        let nothing = place(&stack.client, PlaceOrderRequest::default()).await;
        assert_eq!(refusal(nothing), Refusal::bad(&["user_id", "idempotency_key", "lines"]));
        let mut all = request("x", "two words");
        all.lines = vec![line("", 0, money("eur", -1, -1)), line("tea", 10_001, money("USD", 0, 1_000_000_000))];
        all.lines[1].sku = "t".repeat(65);
        let fields = [
            "user_id",
            "idempotency_key",
            "lines[0].sku",
            "lines[0].quantity",
            "lines[0].unit_price.currency_code",
            "lines[0].unit_price.units",
            "lines[0].unit_price.nanos",
            "lines[1].sku",
            "lines[1].quantity",
            "lines[1].unit_price.nanos",
            "lines[1].unit_price.currency_code",
        ];
        assert_eq!(refusal(place(&stack.client, all).await), Refusal::bad(&fields));
        assert!(stack.users.timeouts().is_empty(), "a bad request goes no further");
    })
    .await;
}

/// Details travel in a header, and clients accept 16 KiB of those.
#[tokio::test]
async fn the_largest_refusal_still_arrives() {
    on_each_engine(async |stack| {
        let mut worst = request(ANN, "k1");
        worst.lines = vec![line("", 0, money("", -1, -1)); 100];
        let refusal = refusal(place(&stack.client, worst).await);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, "BAD_REQUEST"));
        assert_eq!(refusal.fields[..2], ["lines[0].sku", "lines[0].quantity"]);
    })
    .await;
}

#[tokio::test]
async fn a_total_that_the_contract_cannot_carry_is_refused() {
    on_each_engine(async |stack| {
        let mut most = request(ANN, "k1");
        most.lines = vec![line("gold", 1, money("EUR", i64::MAX, 999_999_999))];
        let order = place(&stack.client, most.clone()).await.unwrap();
        assert_eq!(order.total, most.lines[0].unit_price);
        most.idempotency_key = "k2".into();
        most.lines[0].quantity = 2;
        assert_eq!(refusal(place(&stack.client, most).await), Refusal::bad(&["lines"]));
    })
    .await;
}

#[tokio::test]
async fn the_same_request_gets_the_first_answer_without_another_order() {
    on_each_engine(async |stack| {
        let first = place(&stack.client, request(ANN, "k1")).await.unwrap();
        // Not the order as it is now: the answer as it was.
        let cancel = CancelOrderRequest { order_id: first.order_id.clone() };
        stack.client.clone().cancel_order(cancel).await.unwrap();
        assert_eq!(place(&stack.client, request(ANN, "k1")).await.unwrap(), first);
        assert_eq!(place(&stack.client, request(&ANN.to_uppercase(), "k1")).await.unwrap(), first);
        assert_eq!(stack.users.timeouts().len(), 1, "only the first asks for the user");
        assert_eq!(place(&stack.without_users().await, request(ANN, "k1")).await.unwrap(), first);
        assert_eq!(count(&stack.client, ANN).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_user() {
    on_each_engine(async |stack| {
        let first = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let mut other = request(ANN, "k1");
        other.lines[1].quantity += 1;
        let reused = Refusal { reason: "IDEMPOTENCY_KEY_REUSED".into(), ..Refusal::bad(&["idempotency_key"]) };
        assert_eq!(refusal(place(&stack.client, other).await), reused);
        assert_ne!(place(&stack.client, request(ANN, "k2")).await.unwrap().order_id, first.order_id);
        assert_ne!(place(&stack.client, request(BOB, "k1")).await.unwrap().order_id, first.order_id);
        assert_eq!((count(&stack.client, ANN).await, count(&stack.client, BOB).await), (2, 1));
    })
    .await;
}

/// Nobody is told that the user exists before all have asked, so all have found the key unused.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_many_times_at_once_is_one_order() {
    on_each_engine(async |stack| {
        let clients = [stack.client.clone(), stack.another("1min").await];
        stack.users.set(Mood::Together(Arc::new(Barrier::new(20))));
        let mut calls = JoinSet::new();
        for n in 0..20 {
            let client = clients[n % 2].clone();
            calls.spawn(async move { place(&client, request(ANN, "k1")).await });
        }
        let answers: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
        assert_eq!(stack.users.timeouts().len(), 20);
        assert!(answers.iter().all(|order| *order == answers[0]), "{answers:?}");
        assert_eq!(count(&stack.client, ANN).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_requests_with_one_key_at_once_one_is_placed() {
    on_each_engine(async |stack| {
        stack.users.set(Mood::Together(Arc::new(Barrier::new(10))));
        let mut calls = JoinSet::new();
        for n in 0..10 {
            let (client, mut request) = (stack.client.clone(), request(ANN, "k1"));
            request.lines[0].quantity += n;
            calls.spawn(async move { place(&client, request).await });
        }
        let (placed, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((placed.len(), refused.len()), (1, 9));
        for answer in refused {
            let refusal = refusal(answer);
            assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
        }
        assert_eq!(count(&stack.client, ANN).await, 1);
    })
    .await;
}
