//! CreateItem.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::__name__::v1::{CreateItemRequest, CreateItemResponse};

use crate::errors::DOMAIN;
use crate::record::Record;

const INSERT: &str = "INSERT INTO items (item_id, title, create_time_us) VALUES ($1, $2, $3)";

pub(crate) async fn create(sql: &Sql, request: CreateItemRequest) -> Result<CreateItemResponse, Error> {
    let title = request.item.unwrap_or_default().title;
    let mut violations = Violations::default();
    let is_clean = !title.chars().any(char::is_control);
    violations.check(
        is_clean && (1..=100).contains(&title.chars().count()),
        "item.title",
        "must be 1 to 100 characters, none of them a control character",
    );
    violations.into_result(DOMAIN)?;

    let record = Record::new(title);
    sql.execute(INSERT, &record.values()).await?;
    Ok(CreateItemResponse { item: Some(record.into()) })
}
