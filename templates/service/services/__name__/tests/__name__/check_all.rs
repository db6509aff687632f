//% if none stream
//! CheckItems.

use futures_util::stream;
use __root___proto::__root__::__name__::v1::{CheckItemsRequest, Item};
use seawall_testkit::Refusal;
use tonic::Status;

use crate::harness::{Client, chosen, on_service, refusal};

/// The answers to these titles, and what the stream ended with.
async fn check(client: &Client, titles: &[&str]) -> (Vec<Item>, Option<Status>) {
    let requests: Vec<_> = titles.iter().map(|title| CheckItemsRequest { item: Some(chosen(title)) }).collect();
    let mut answers = client.clone().check_items(stream::iter(requests)).await.unwrap().into_inner();
    let mut items = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => items.push(answer.item.unwrap()),
            Ok(None) => return (items, None),
            Err(status) => return (items, Some(status)),
        }
    }
}

#[tokio::test]
async fn each_item_is_answered_in_turn() {
    on_service(async |client| {
        let (items, status) = check(&client, &["a", " b", "c"]).await;
        assert_eq!(items, [chosen("a"), chosen("b"), chosen("c")]);
        assert!(status.is_none(), "{status:?}");
    })
    .await;
}

#[tokio::test]
async fn the_first_bad_item_ends_it() {
    on_service(async |client| {
        let (items, status) = check(&client, &["a", "", "c"]).await;
        assert_eq!(items, [chosen("a")]);
        assert_eq!(refusal::<()>(Err(status.unwrap())), Refusal::bad(&["item.title"]));
    })
    .await;
}
//% end
