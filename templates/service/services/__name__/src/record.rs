//% if sql
//! An item as the table has it, and the way from there to the contract.

use seawall_pool::{Row, Value};
use __root___proto::__root__::__name__::v1::Item;
use seawall_resource::{new_id, now_us, timestamp};

/// A row of `items`.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) item_id: String,
    title: String,
//% each calls
    __peer___id: String,
//% end
    create_time_us: i64,
}

impl Record {
    pub(crate) const INSERT: &str =
        "INSERT INTO items (item_id, title__columns__, create_time_us) VALUES (__parameters__)";

    /// A new item with the fields that the caller chose.
    pub(crate) fn new(chosen: Item) -> Self {
        Self {
            item_id: new_id(),
            title: chosen.title,
//% each calls
            __peer___id: chosen.__peer___id,
//% end
            create_time_us: now_us(),
        }
    }

    /// The parameters of [`INSERT`](Self::INSERT).
    pub(crate) fn values(&self) -> [Value; __values__] {
        [
            self.item_id.as_str().into(),
            self.title.as_str().into(),
//% each calls
            self.__peer___id.as_str().into(),
//% end
            self.create_time_us.into(),
        ]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, seawall_pool::Error> {
        Ok(Self {
            item_id: row.get("item_id")?,
            title: row.get("title")?,
//% each calls
            __peer___id: row.get("__peer___id")?,
//% end
            create_time_us: row.get("create_time_us")?,
        })
    }
}

impl From<Record> for Item {
    fn from(record: Record) -> Self {
        Self {
            item_id: record.item_id,
            title: record.title,
//% each calls
            __peer___id: record.__peer___id,
//% end
            create_time: Some(timestamp(record.create_time_us)),
        }
    }
}
//% end
