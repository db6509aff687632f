//! GetOrder.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::order::v1::{GetOrderRequest, GetOrderResponse};
use seawall_resource::check_id;

use crate::errors::DOMAIN;
use crate::stored;

pub(crate) async fn get(sql: &Sql, request: GetOrderRequest) -> Result<GetOrderResponse, Error> {
    let mut violations = Violations::default();
    let order_id = check_id("order_id", &request.order_id, &mut violations);
    violations.into_result(DOMAIN)?;

    Ok(GetOrderResponse { order: Some(stored::read(sql, &order_id).await?) })
}
