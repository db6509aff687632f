//! GetOrder.

use seawall_proto::seawall::order::v1::{GetOrderRequest, Order};
use seawall_testkit::Refusal;
use tonic::Status;

use crate::harness::{ANN, BOB, Client, on_each_engine, order_not_found, place, refusal, request};

async fn get(client: &Client, order_id: &str) -> Result<Order, Status> {
    let request = GetOrderRequest { order_id: order_id.into() };
    Ok(client.clone().get_order(request).await?.into_inner().order.unwrap())
}

#[tokio::test]
async fn an_order_is_read_as_it_was_placed() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        place(&stack.client, request(BOB, "k1")).await.unwrap();
        assert_eq!(get(&stack.client, &order.order_id).await.unwrap(), order);
        assert_eq!(get(&stack.another("1min").await, &order.order_id.to_uppercase()).await.unwrap(), order);
    })
    .await;
}

#[tokio::test]
async fn an_id_without_an_order_is_not_found_and_what_is_no_id_is_bad() {
    on_each_engine(async |stack| {
        assert_eq!(refusal(get(&stack.client, ANN).await), order_not_found(ANN));
        assert_eq!(refusal(get(&stack.client, "7").await), Refusal::bad(&["order_id"]));
    })
    .await;
}
