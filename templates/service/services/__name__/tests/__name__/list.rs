//% if sql
//! ListItems.

use __root___proto::__root__::__name__::v1::ListItemsRequest;
use seawall_testkit::Refusal;

use crate::harness::{create, on_each_engine, refusal};

#[tokio::test]
async fn pages_have_every_item_once_and_the_oldest_first() {
    on_each_engine(async |client| {
        for title in ["a", "b", "c"] {
            create(&client, title).await;
        }
        let mut titles = Vec::new();
        let mut request = ListItemsRequest { page_size: 2, page_token: String::new() };
        loop {
            let page = client.clone().list_items(request.clone()).await.unwrap().into_inner();
            titles.extend(page.items.into_iter().map(|item| item.title));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(titles, ["a", "b", "c"]);
    })
    .await;
}

#[tokio::test]
async fn a_page_that_cannot_be_is_bad() {
    on_each_engine(async |client| {
        for (page_size, page_token, field) in [(-1, "", "page_size"), (1_001, "", "page_size"), (0, "x", "page_token")] {
            let request = ListItemsRequest { page_size, page_token: page_token.into() };
            assert_eq!(refusal(client.clone().list_items(request).await), Refusal::bad(&[field]));
        }
    })
    .await;
}
//% end
