//! Orders as the tables have them, and the way from there to the contract and back.

use seawall_error::Error;
use seawall_pool::{Row, Sql, Transaction};
use seawall_proto::seawall::order::v1::{Money, Order, OrderLine};
use seawall_resource::timestamp;

use crate::errors::order_not_found;

const INSERT_ORDER: &str = "
    INSERT INTO orders (order_id, user_id, state, currency_code, total_units, total_nanos, create_time_us, update_time_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const INSERT_LINE: &str = "
    INSERT INTO order_lines (order_id, line, sku, quantity, price_units, price_nanos)
    VALUES ($1, $2, $3, $4, $5, $6)";

const SELECT_ORDER: &str = "
    SELECT order_id, user_id, state, currency_code, total_units, total_nanos, create_time_us, update_time_us
    FROM orders WHERE order_id = $1";

const SELECT_LINES: &str = "
    SELECT sku, quantity, price_units, price_nanos
    FROM order_lines WHERE order_id = $1 ORDER BY line";

/// Adds a new order, placed at `now_us`.
pub(crate) async fn insert(transaction: &mut Transaction<'_>, order: &Order, now_us: i64) -> Result<(), Error> {
    let total = order.total.clone().unwrap_or_default();
    let values = [
        order.order_id.as_str().into(),
        order.user_id.as_str().into(),
        order.state.into(),
        total.currency_code.into(),
        total.units.into(),
        total.nanos.into(),
        now_us.into(),
        now_us.into(),
    ];
    transaction.execute(INSERT_ORDER, &values).await?;
    for (i, line) in (0_i64..).zip(&order.lines) {
        let price = line.unit_price.clone().unwrap_or_default();
        let values = [
            order.order_id.as_str().into(),
            i.into(),
            line.sku.as_str().into(),
            line.quantity.into(),
            price.units.into(),
            price.nanos.into(),
        ];
        transaction.execute(INSERT_LINE, &values).await?;
    }
    Ok(())
}

/// One order; `ORDER_NOT_FOUND` if there is none.
pub(crate) async fn read(sql: &Sql, order_id: &str) -> Result<Order, Error> {
    let mut connection = sql.connection().await?;
    let found = connection.query_opt(SELECT_ORDER, &[order_id.into()]).await?;
    let mut order = order_from(&found.ok_or_else(|| order_not_found(order_id))?)?;
    let currency_code = order.total.clone().unwrap_or_default().currency_code;
    for row in connection.query(SELECT_LINES, &[order_id.into()]).await? {
        order.lines.push(line_from(&row, &currency_code)?);
    }
    Ok(order)
}

/// An order without its lines.
pub(crate) fn order_from(row: &Row) -> Result<Order, Error> {
    Ok(Order {
        order_id: row.get("order_id")?,
        user_id: row.get("user_id")?,
        lines: Vec::new(),
        total: Some(Money {
            currency_code: row.get("currency_code")?,
            units: row.get("total_units")?,
            nanos: small(row, "total_nanos")?,
        }),
        state: small(row, "state")?,
        create_time: Some(timestamp(row.get("create_time_us")?)),
        update_time: Some(timestamp(row.get("update_time_us")?)),
    })
}

pub(crate) fn line_from(row: &Row, currency_code: &str) -> Result<OrderLine, Error> {
    Ok(OrderLine {
        sku: row.get("sku")?,
        quantity: small(row, "quantity")?,
        unit_price: Some(Money {
            currency_code: currency_code.to_owned(),
            units: row.get("price_units")?,
            nanos: small(row, "price_nanos")?,
        }),
    })
}

/// A BIGINT that was an `int32` when it was stored.
pub(crate) fn small(row: &Row, column: &str) -> Result<i32, Error> {
    i32::try_from(row.get::<i64>(column)?).map_err(Error::internal)
}
