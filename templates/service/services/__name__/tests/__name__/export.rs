//% if sql stream
//! ExportItems.

use __root___proto::__root__::__name__::v1::ExportItemsRequest;

use crate::harness::{Client, create, on_each_engine};

/// The titles of each message.
async fn export(client: &Client) -> Vec<Vec<String>> {
    let mut stream = client.clone().export_items(ExportItemsRequest {}).await.unwrap().into_inner();
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        pages.push(page.items.into_iter().map(|item| item.title).collect());
    }
    pages
}

#[tokio::test]
async fn every_item_is_there_once_and_the_oldest_first() {
    on_each_engine(async |client| {
        assert_eq!(export(&client).await, [Vec::<String>::new()]);
        let mut titles = Vec::new();
        for number in 0..101 {
            titles.push(create(&client, &format!("item {number}")).await.title);
        }
        let pages = export(&client).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [100, 1]);
        assert_eq!(pages.concat(), titles);
    })
    .await;
}
//% end
