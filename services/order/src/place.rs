//! PlaceOrder.

use seawall_client::Channel;
use seawall_error::{Code, Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::order::v1::{Money, Order, OrderState, PlaceOrderRequest, PlaceOrderResponse};
use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_resource::{check_id, new_id, now_us, timestamp};

use crate::errors::{DOMAIN, user_not_found};
use crate::fields::{check_idempotency_key, check_lines};
use crate::{idempotency, money, stored};

pub(crate) async fn place(
    sql: &Sql,
    users: &UserServiceClient<Channel>,
    request: PlaceOrderRequest,
) -> Result<PlaceOrderResponse, Error> {
    let (request, total) = check(request)?;
    let idempotent = idempotency::Request::new(&request);
    // Before anything else, so that a caller who asks again gets the answer even while the user
    // service is away.
    if let Some(first) = idempotent.answered(sql).await? {
        return Ok(first);
    }
    check_user(users, &request.user_id).await?;

    let now_us = now_us();
    let order = new_order(request, total, now_us);
    let response = PlaceOrderResponse { order: Some(order.clone()) };
    let mut transaction = sql.begin().await?;
    if idempotent.answer(&mut transaction, &response).await? {
        stored::insert(&mut transaction, &order, now_us).await?;
        transaction.commit().await?;
        return Ok(response);
    }
    transaction.rollback().await?;
    // The same request came twice at once, and the other one was first.
    idempotent.answered(sql).await?.ok_or_else(|| Error::internal("an answer has disappeared"))
}

/// The request with the user's id in the tables' spelling, and what it costs.
fn check(mut request: PlaceOrderRequest) -> Result<(PlaceOrderRequest, Money), Error> {
    let mut violations = Violations::default();
    request.user_id = check_id("user_id", &request.user_id, &mut violations);
    check_idempotency_key(&request.idempotency_key, &mut violations);
    check_lines(&request.lines, &mut violations);
    violations.into_result(DOMAIN)?;

    let total = money::total(&request.lines)
        .ok_or_else(|| DOMAIN.invalid("lines", "must cost less than 2^63 units of the currency together"))?;
    Ok((request, total))
}

async fn check_user(users: &UserServiceClient<Channel>, user_id: &str) -> Result<(), Error> {
    let request = GetUserRequest { user_id: user_id.to_owned() };
    match users.clone().get_user(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::NotFound => Err(user_not_found(user_id)),
        Err(status) => Err(Error::dependency("user", status)),
    }
}

fn new_order(request: PlaceOrderRequest, total: Money, now_us: i64) -> Order {
    Order {
        order_id: new_id(),
        user_id: request.user_id,
        lines: request.lines,
        total: Some(total),
        state: OrderState::Placed.into(),
        create_time: Some(timestamp(now_us)),
        update_time: Some(timestamp(now_us)),
    }
}
