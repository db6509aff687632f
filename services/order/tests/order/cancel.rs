//! CancelOrder.

use seawall_proto::seawall::order::v1::{CancelOrderRequest, GetOrderRequest, Order, OrderState};
use seawall_testkit::Refusal;
use tonic::Status;

use crate::harness::{ANN, Client, on_each_engine, order_not_found, place, refusal, request};

pub(crate) async fn cancel(client: &Client, order_id: &str) -> Result<Order, Status> {
    let request = CancelOrderRequest { order_id: order_id.into() };
    Ok(client.clone().cancel_order(request).await?.into_inner().order.unwrap())
}

#[tokio::test]
async fn an_order_is_cancelled_once_however_often_it_is_asked() {
    on_each_engine(async |stack| {
        let placed = place(&stack.client, request(ANN, "k1")).await.unwrap();
        let cancelled = cancel(&stack.client, &placed.order_id).await.unwrap();
        assert_eq!(cancelled.state(), OrderState::Cancelled);
        let unchanged = |order: &Order| (order.lines.clone(), order.total.clone(), order.create_time);
        assert_eq!(unchanged(&cancelled), unchanged(&placed));
        let changed = |order: &Order| order.update_time.map(|time| (time.seconds, time.nanos));
        assert!(changed(&cancelled) > changed(&placed));

        assert_eq!(cancel(&stack.client, &placed.order_id).await.unwrap(), cancelled);
        let request = GetOrderRequest { order_id: placed.order_id };
        assert_eq!(stack.client.clone().get_order(request).await.unwrap().into_inner().order, Some(cancelled));
    })
    .await;
}

#[tokio::test]
async fn an_order_that_is_not_there_cannot_be_cancelled() {
    on_each_engine(async |stack| {
        assert_eq!(refusal(cancel(&stack.client, ANN).await), order_not_found(ANN));
        assert_eq!(refusal(cancel(&stack.client, "").await), Refusal::bad(&["order_id"]));
    })
    .await;
}
