//% if none stream
//! CheckItems: one answer for each item, in the order in which they come. An item is read when the answer to
//! the one before has been taken, so that none wait here.

//% if calls
use futures_util::{Stream, TryStreamExt as _};
//% else
use futures_util::{Stream, StreamExt as _};
//% end
use __root___proto::__root__::__name__::v1::{CheckItemRequest, CheckItemsRequest, CheckItemsResponse};
use tonic::{Status, Streaming};

use crate::check::check;
//% if calls
use crate::peers::Peers;
//% end

//% if calls
pub(crate) fn check_all(
    peers: Peers,
    requests: Streaming<CheckItemsRequest>,
) -> impl Stream<Item = Result<CheckItemsResponse, Status>> + Send {
    requests.and_then(move |CheckItemsRequest { item }| {
        let peers = peers.clone();
        async move {
            let checked = check(&peers, CheckItemRequest { item }).await?;
            Ok(CheckItemsResponse { item: checked.item })
        }
    })
}
//% else
pub(crate) fn check_all(
    requests: Streaming<CheckItemsRequest>,
) -> impl Stream<Item = Result<CheckItemsResponse, Status>> + Send {
    requests.map(|request| {
        let checked = check(CheckItemRequest { item: request?.item })?;
        Ok(CheckItemsResponse { item: checked.item })
    })
}
//% end
//% end
