//% if sql
//! GetItem.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use __root___proto::__root__::__name__::v1::{GetItemRequest, GetItemResponse};
use seawall_resource::check_id;

use crate::errors::{DOMAIN, item_not_found};
use crate::record::Record;

const SELECT: &str = "SELECT item_id, title__columns__, create_time_us FROM items WHERE item_id = $1";

pub(crate) async fn get(sql: &Sql, request: GetItemRequest) -> Result<GetItemResponse, Error> {
    let mut violations = Violations::default();
    let item_id = check_id("item_id", &request.item_id, &mut violations);
    violations.into_result(DOMAIN)?;

    let found = sql.query_opt(SELECT, &[item_id.as_str().into()]).await?;
    let row = found.ok_or_else(|| item_not_found(&item_id))?;
    Ok(GetItemResponse { item: Some(Record::from_row(&row)?.into()) })
}
//% end
