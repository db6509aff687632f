//! An item as the table has it, and the way from there to the contract.

use seawall_pool::{Row, Value};
use seawall_proto::seawall::__name__::v1::Item;
use seawall_resource::{new_id, now_us, timestamp};

/// A row of `items`.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) item_id: String,
    title: String,
    create_time_us: i64,
}

impl Record {
    /// A new item with the field that the caller chose.
    pub(crate) fn new(title: String) -> Self {
        Self { item_id: new_id(), title, create_time_us: now_us() }
    }

    /// In the order of the columns.
    pub(crate) fn values(&self) -> [Value; 3] {
        [self.item_id.as_str().into(), self.title.as_str().into(), self.create_time_us.into()]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, seawall_pool::Error> {
        Ok(Self {
            item_id: row.get("item_id")?,
            title: row.get("title")?,
            create_time_us: row.get("create_time_us")?,
        })
    }
}

impl From<Record> for Item {
    fn from(record: Record) -> Self {
        Self {
            item_id: record.item_id,
            title: record.title,
            create_time: Some(timestamp(record.create_time_us)),
        }
    }
}
