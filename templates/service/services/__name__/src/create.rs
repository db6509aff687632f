//% if sql
//! CreateItem.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use __root___proto::__root__::__name__::v1::{CreateItemRequest, CreateItemResponse};

use crate::errors::DOMAIN;
use crate::fields::check_item;
//% if calls
use crate::peers::Peers;
//% end
use crate::record::Record;

//% if calls
pub(crate) async fn create(sql: &Sql, peers: &Peers, request: CreateItemRequest) -> Result<CreateItemResponse, Error> {
//% else
pub(crate) async fn create(sql: &Sql, request: CreateItemRequest) -> Result<CreateItemResponse, Error> {
//% end
    let mut chosen = request.item.unwrap_or_default();
    let mut violations = Violations::default();
    check_item(&mut chosen, &mut violations);
    violations.into_result(DOMAIN)?;
//% if calls
    peers.check(&chosen).await?;
//% end

    let record = Record::new(chosen);
    sql.execute(Record::INSERT, &record.values()).await?;
    Ok(CreateItemResponse { item: Some(record.into()) })
}
//% end
