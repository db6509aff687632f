//! WatchOrder.

use std::time::Duration;

use seawall_proto::seawall::order::v1::{OrderState, WatchOrderRequest, WatchOrderResponse};
use seawall_testkit::Refusal;
use tonic::{Code, Request, Status, Streaming};

use crate::cancel::cancel;
use crate::harness::{ANN, Client, on_each_engine, order_not_found, place, refusal, request};

async fn watch(client: &Client, order_id: &str) -> Result<Streaming<WatchOrderResponse>, Status> {
    let request = WatchOrderRequest { order_id: order_id.into() };
    client.clone().watch_order(request).await.map(tonic::Response::into_inner)
}

/// The state in the next message; `None` at the end.
async fn state(watched: &mut Streaming<WatchOrderResponse>) -> Option<OrderState> {
    let next = tokio::time::timeout(Duration::from_secs(10), watched.message()).await.expect("within 10 s").unwrap();
    next.map(|response| response.order.unwrap().state())
}

#[tokio::test]
async fn a_watcher_sees_the_order_then_its_end_at_once() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let mut watched = watch(&stack.client, &order.order_id).await.unwrap();
        assert_eq!(watched.message().await.unwrap().unwrap().order, Some(order.clone()));
        let other = place(&stack.client, request(ANN, "k2")).await.unwrap();
        cancel(&stack.client, &other.order_id).await.unwrap();

        // The next look at the database is a minute away: this one is announced.
        let cancelled = cancel(&stack.client, &order.order_id).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), watched.message()).await.unwrap().unwrap();
        assert_eq!(next.unwrap().order, Some(cancelled));
        assert_eq!(state(&mut watched).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_watcher_sees_what_another_process_changes() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let mut watched = watch(&stack.another("10ms").await, &order.order_id).await.unwrap();
        assert_eq!(state(&mut watched).await, Some(OrderState::Placed));
        cancel(&stack.client, &order.order_id).await.unwrap();
        assert_eq!(state(&mut watched).await, Some(OrderState::Cancelled));
        assert_eq!(state(&mut watched).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_final_order_is_sent_once() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        cancel(&stack.client, &order.order_id).await.unwrap();
        let mut watched = watch(&stack.client, &order.order_id).await.unwrap();
        assert_eq!(state(&mut watched).await, Some(OrderState::Cancelled));
        assert_eq!(state(&mut watched).await, None);
    })
    .await;
}

#[tokio::test]
async fn every_watcher_sees_the_end() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(watch(&stack.client, &order.order_id).await.unwrap());
        }
        cancel(&stack.client, &order.order_id).await.unwrap();
        for mut watched in all {
            assert_eq!(state(&mut watched).await, Some(OrderState::Placed));
            assert_eq!(state(&mut watched).await, Some(OrderState::Cancelled));
            assert_eq!(state(&mut watched).await, None);
        }
    })
    .await;
}

#[tokio::test]
async fn watching_ends_at_the_deadline() {
    on_each_engine(async |stack| {
        let order = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let mut request = Request::new(WatchOrderRequest { order_id: order.order_id });
        request.set_timeout(Duration::from_millis(300));
        let mut watched = stack.client.clone().watch_order(request).await.unwrap().into_inner();
        assert_eq!(state(&mut watched).await, Some(OrderState::Placed));
        let ended = tokio::time::timeout(Duration::from_secs(10), watched.message()).await.unwrap();
        assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);
    })
    .await;
}

#[tokio::test]
async fn an_order_that_is_not_there_cannot_be_watched() {
    on_each_engine(async |stack| {
        assert_eq!(refusal(watch(&stack.client, ANN).await), order_not_found(ANN));
        assert_eq!(refusal(watch(&stack.client, "7").await), Refusal::bad(&["order_id"]));
    })
    .await;
}
