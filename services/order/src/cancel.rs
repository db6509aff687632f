//! CancelOrder.

use seawall_error::{Error, Violations};
use seawall_proto::seawall::order::v1::{CancelOrderRequest, CancelOrderResponse, OrderState};
use seawall_resource::{check_id, now_us};

use crate::errors::DOMAIN;
use crate::{Orders, stored};

/// Changes nothing if the order is cancelled already, so that the first cancellation stays the one
/// whose time is shown.
const UPDATE: &str = "UPDATE orders SET state = $1, update_time_us = $2 WHERE order_id = $3 AND state = $4";

pub(crate) async fn cancel(orders: &Orders, request: CancelOrderRequest) -> Result<CancelOrderResponse, Error> {
    let mut violations = Violations::default();
    let order_id = check_id("order_id", &request.order_id, &mut violations);
    violations.into_result(DOMAIN)?;

    let (from, to) = (OrderState::Placed as i32, OrderState::Cancelled as i32);
    let values = [to.into(), now_us().into(), order_id.as_str().into(), from.into()];
    if orders.sql.execute(UPDATE, &values).await? == 1 {
        orders.changes.announce(&order_id);
    }
    Ok(CancelOrderResponse { order: Some(stored::read(&orders.sql, &order_id).await?) })
}
