//% if sql
//! ListItems.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use __root___proto::__root__::__name__::v1::{ListItemsRequest, ListItemsResponse};
use seawall_resource::Page;

use crate::errors::DOMAIN;
use crate::record::Record;

/// Ids are made in the order of time, so the oldest item has the first id, and an item that comes while
/// somebody turns the pages is on the last of them.
const SELECT: &str = "
    SELECT item_id, title__columns__, create_time_us
    FROM items WHERE item_id > $1 ORDER BY item_id LIMIT $2";

pub(crate) async fn list(sql: &Sql, request: ListItemsRequest) -> Result<ListItemsResponse, Error> {
    let mut violations = Violations::default();
    let page = Page::check(request.page_size, &request.page_token, "", &mut violations);
    violations.into_result(DOMAIN)?;

    let rows = sql.query(SELECT, &[page.after().into(), page.limit().into()]).await?;
    let records = rows.iter().map(Record::from_row).collect::<Result<Vec<_>, _>>()?;
    let (records, next_page_token) = page.cut(records, |record| &record.item_id);
    Ok(ListItemsResponse { items: records.into_iter().map(Into::into).collect(), next_page_token })
}
//% end
