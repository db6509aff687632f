//! The __name__ service over a real socket, on SQLite and on PostgreSQL.

use std::time::Duration;

use seawall_client::Channel;
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::__name__::v1::__name___service_client::__Name__ServiceClient;
use seawall_proto::seawall::__name__::v1::{CreateItemRequest, GetItemRequest, Item, ListItemsRequest};
use seawall_server::Server;
use seawall_shutdown::Shutdown;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

type Client = __Name__ServiceClient<Channel>;

/// Runs `test` against a service with an empty database, on each engine in turn.
async fn on_each_engine(test: impl AsyncFn(Client)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/__name__.db", folder.path().display());
    for url in [Some(sqlite), seawall_testkit::postgres::database().await].into_iter().flatten() {
        println!("on {url}");
        let shutdown = Shutdown::new(Duration::ZERO);
        test(start(&url, &shutdown).await).await;
        shutdown.begin();
    }
}

/// The service as its process starts it, with the same settings by the same names.
async fn start(url: &str, shutdown: &Shutdown) -> Client {
    let mut reader = Reader::new("", "", [("SEAWALL_SQL_URL", url)]);
    let server = Server::try_new(seawall_server::Config::read(&mut reader.section("server"), 0, 0), FILE_DESCRIPTOR_SET).unwrap();
    let config = __name__::Config::read(&mut reader);
    reader.finish().unwrap();

    let bound = __name__::start(config, server).await.unwrap().bind().await.unwrap();
    let address = format!("http://{}", bound.address().unwrap());
    tokio::spawn(bound.run(shutdown.clone()));
    let mut reader = Reader::new("", "", [("SEAWALL_PEER_ADDRESS", address)]);
    let config = seawall_client::Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    Client::new(Channel::new("__name__", &config, &Policies::default()))
}

async fn create(client: &Client, title: &str) -> Result<Item, Status> {
    let item = Item { title: title.into(), ..Default::default() };
    let answer = client.clone().create_item(CreateItemRequest { item: Some(item) }).await?;
    Ok(answer.into_inner().item.unwrap())
}

#[tokio::test]
async fn an_item_comes_back_as_it_was_created() {
    on_each_engine(async |client| {
        let item = create(&client, "first").await.unwrap();
        let request = GetItemRequest { item_id: item.item_id.clone() };
        assert_eq!(client.clone().get_item(request).await.unwrap().into_inner().item, Some(item));
    })
    .await;
}

#[tokio::test]
async fn errors_say_which_field_or_which_item() {
    on_each_engine(async |client| {
        for title in ["", "a\0b", &"x".repeat(101)] {
            let status = create(&client, title).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let details = status.get_error_details();
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, "item.title");
            assert_eq!(details.request_info().unwrap().request_id.len(), 32);
        }
        let request = GetItemRequest { item_id: "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".into() };
        let status = client.clone().get_item(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "ITEM_NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    on_each_engine(async |client| {
        for title in ["a", "b", "c"] {
            create(&client, title).await.unwrap();
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
