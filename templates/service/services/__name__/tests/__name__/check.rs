//% if none
//! CheckItem.

use __root___proto::__root__::__name__::v1::CheckItemRequest;
use seawall_testkit::Refusal;

use crate::harness::{chosen, on_service, refusal};

#[tokio::test]
async fn a_good_item_comes_back_as_it_would_be_kept() {
    on_service(async |client| {
        let request = CheckItemRequest { item: Some(chosen(" first ")) };
        assert_eq!(client.clone().check_item(request).await.unwrap().into_inner().item, Some(chosen("first")));
    })
    .await;
}

#[tokio::test]
async fn every_bad_field_is_named() {
    on_service(async |client| {
        for title in ["", "a\0b", &"x".repeat(101)] {
            let answer = client.clone().check_item(CheckItemRequest { item: Some(chosen(title)) }).await;
            assert_eq!(refusal(answer), Refusal::bad(&["item.title"]));
        }
        let answer = client.clone().check_item(CheckItemRequest { item: None }).await;
        let bad = [
            "item.title",
//% each calls
            "item.__peer___id",
//% end
        ];
        assert_eq!(refusal(answer), Refusal::bad(&bad));
    })
    .await;
}
//% end
