//% if calls
//! What becomes of the answers of the services that are called.

//% if sql
use __root___proto::__root__::__name__::v1::{CreateItemRequest, Item};
//% else
use __root___proto::__root__::__name__::v1::{CheckItemRequest, Item};
//% end
use tonic::{Code, Status};

//% if sql
use crate::harness::{Client, Settings, UNKNOWN, chosen, on_each_engine, on_each_engine_with, refusal};
//% else
use crate::harness::{Client, Settings, UNKNOWN, chosen, on_service, on_service_with, refusal};
//% end
//% each calls
use crate::harness::__peer___not_found;
//% end

async fn ask(client: &Client, item: Item) -> Result<Option<Item>, Status> {
//% if sql
    let answer = client.clone().create_item(CreateItemRequest { item: Some(item) }).await?;
//% else
    let answer = client.clone().check_item(CheckItemRequest { item: Some(item) }).await?;
//% end
    Ok(answer.into_inner().item)
}

#[tokio::test]
async fn what_is_not_there_is_named() {
//% if sql
    on_each_engine(async |client| {
//% else
    on_service(async |client| {
//% end
//% each calls
        let item = Item { __peer___id: UNKNOWN.into(), ..chosen("first") };
        assert_eq!(refusal(ask(&client, item).await), __peer___not_found(UNKNOWN));
//% end
        ask(&client, chosen("first")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn services_that_are_away_are_said_to_be_so() {
    // The port was free a moment ago, and nothing answers on it.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away: Settings = vec![
//% each calls
        ("SEAWALL___PEER___ADDRESS", format!("http://{closed}")),
//% end
    ];
//% if sql
    on_each_engine_with(away, async |client| {
//% else
    on_service_with(away, async |client| {
//% end
        let refused = refusal(ask(&client, chosen("first")).await);
        // On a busy machine, the budget of the call may be over before it is known that nobody is there.
        let expected = [
            (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            (Code::DeadlineExceeded, "DEPENDENCY_DEADLINE_EXCEEDED"),
        ];
        assert!(expected.contains(&(refused.code, refused.reason.as_str())), "{refused:?}");
    })
    .await;
}
//% end
