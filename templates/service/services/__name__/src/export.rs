//% if sql stream
//! ExportItems.
//!
//! A page is read when the one before has been taken. So no more than a page is held, however many items
//! there are, and a caller who reads slowly keeps nobody else waiting.

use futures_util::stream::{self, Stream};
use seawall_error::Error;
use seawall_pool::Sql;
use __root___proto::__root__::__name__::v1::ExportItemsResponse;
use tonic::Status;

use crate::record::Record;

/// Items in one message.
const PAGE_SIZE: usize = 100;

/// Ids are made in the order of time, so the oldest item has the first id.
const SELECT: &str = "
    SELECT item_id, title__columns__, create_time_us
    FROM items WHERE item_id > $1 ORDER BY item_id LIMIT $2";

pub(crate) fn export(sql: Sql) -> impl Stream<Item = Result<ExportItemsResponse, Status>> + Send {
    // The id after which the next page begins; none after the last.
    stream::try_unfold(Some(String::new()), move |after| {
        let sql = sql.clone();
        async move {
            let Some(after) = after else { return Ok(None) };
            let records = page(&sql, &after).await?;
            let last = records.last().map(|record| record.item_id.clone());
            let next = last.filter(|_| records.len() == PAGE_SIZE);
            let items = records.into_iter().map(Into::into).collect();
            Ok(Some((ExportItemsResponse { items }, next)))
        }
    })
}

async fn page(sql: &Sql, after: &str) -> Result<Vec<Record>, Error> {
    let rows = sql.query(SELECT, &[after.into(), (PAGE_SIZE as i64).into()]).await?;
    Ok(rows.iter().map(Record::from_row).collect::<Result<_, _>>()?)
}
//% end
