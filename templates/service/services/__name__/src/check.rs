//% if none
//! CheckItem.

use seawall_error::{Error, Violations};
use __root___proto::__root__::__name__::v1::{CheckItemRequest, CheckItemResponse};

use crate::errors::DOMAIN;
use crate::fields::check_item;
//% if calls
use crate::peers::Peers;
//% end

//% if calls
pub(crate) async fn check(peers: &Peers, request: CheckItemRequest) -> Result<CheckItemResponse, Error> {
//% else
pub(crate) fn check(request: CheckItemRequest) -> Result<CheckItemResponse, Error> {
//% end
    let mut item = request.item.unwrap_or_default();
    let mut violations = Violations::default();
    check_item(&mut item, &mut violations);
    violations.into_result(DOMAIN)?;
//% if calls
    peers.check(&item).await?;
//% end
    Ok(CheckItemResponse { item: Some(item) })
}
//% end
