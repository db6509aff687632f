//! ListOrders.

use std::collections::HashMap;

use seawall_error::{Error, Violations};
use seawall_pool::{Connection, Sql};
use seawall_proto::seawall::order::v1::{ListOrdersRequest, ListOrdersResponse, Order, OrderLine};
use seawall_resource::{Page, check_id};

use crate::errors::DOMAIN;
use crate::stored::{line_from, order_from};

/// Ids are made in the order of time, so the oldest order has the first id, and an order that comes
/// while somebody turns the pages is on the last of them.
const SELECT_ORDERS: &str = "
    SELECT order_id, user_id, state, currency_code, total_units, total_nanos, create_time_us, update_time_us
    FROM orders WHERE user_id = $1 AND order_id > $2 ORDER BY order_id LIMIT $3";

const SELECT_LINES: &str = "
    SELECT orders.order_id, currency_code, sku, quantity, price_units, price_nanos
    FROM orders JOIN order_lines ON order_lines.order_id = orders.order_id
    WHERE user_id = $1 AND orders.order_id > $2 AND orders.order_id <= $3
    ORDER BY orders.order_id, line LIMIT $4";

/// A page with more lines than this ends early: with the longest SKUs it would not fit into the
/// 4 MiB that a client accepts. It is more than one order can have, so that every page has one.
const PAGE_LINES_MAX: usize = 10_000;

pub(crate) async fn list(sql: &Sql, request: ListOrdersRequest) -> Result<ListOrdersResponse, Error> {
    let mut violations = Violations::default();
    let user_id = check_id("user_id", &request.user_id, &mut violations);
    let page = Page::check(request.page_size, &request.page_token, &user_id, &mut violations);
    violations.into_result(DOMAIN)?;

    let mut connection = sql.connection().await?;
    let values = [user_id.as_str().into(), page.after().into(), page.limit().into()];
    let rows = connection.query(SELECT_ORDERS, &values).await?;
    let orders = rows.iter().map(order_from).collect::<Result<Vec<_>, _>>()?;
    let (mut orders, mut next_page_token) = page.cut(orders, |order| &order.order_id);
    if add_lines(&mut connection, &user_id, page.after(), &mut orders).await? {
        next_page_token = orders.last().map(|last| page.token_after(&last.order_id)).unwrap_or_default();
    }
    Ok(ListOrdersResponse { orders, next_page_token })
}

/// Gives the orders, which are those after the id `after`, their lines. Drops the last of them, and
/// answers true, if they have more lines than a page can have.
async fn add_lines(
    connection: &mut Connection<'_>,
    user_id: &str,
    after: &str,
    orders: &mut Vec<Order>,
) -> Result<bool, Error> {
    let Some(last) = orders.last() else { return Ok(false) };
    let values = [user_id.into(), after.into(), last.order_id.as_str().into(), (PAGE_LINES_MAX as i64 + 1).into()];
    let rows = connection.query(SELECT_LINES, &values).await?;

    let mut lines: HashMap<String, Vec<OrderLine>> = HashMap::new();
    for row in &rows {
        let line = line_from(row, &row.get::<String>("currency_code")?)?;
        lines.entry(row.get("order_id")?).or_default().push(line);
    }
    let too_many = rows.get(PAGE_LINES_MAX).map(|row| row.get::<String>("order_id")).transpose()?;
    if let Some(incomplete) = &too_many {
        orders.retain(|order| order.order_id < *incomplete);
    }
    for order in orders {
        order.lines = lines.remove(&order.order_id).unwrap_or_default();
    }
    Ok(too_many.is_some())
}
