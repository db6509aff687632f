//! A running service for each test, and what a client reads from its errors.

use std::time::Duration;

use seawall_client::Channel;
use seawall_config::Reader;
use seawall_policy::Policies;
use __root___proto::FILE_DESCRIPTOR_SET;
use __root___proto::__root__::__name__::v1::Item;
use __root___proto::__root__::__name__::v1::__name___service_client::__Name__ServiceClient;
//% if sql
use __root___proto::__root__::__name__::v1::CreateItemRequest;
//% end
//% each calls
use __root___proto::__peer_module__ as __peer__;
//% end
use seawall_server::Server;
use seawall_shutdown::Shutdown;
//% if calls
use seawall_testkit::{Peer, Refusal};
use tonic::{Code, Status};
//% else
use seawall_testkit::Refusal;
//% if sql
use tonic::{Code, Status};
//% else
use tonic::Status;
//% end
//% end

/// The client that the contract generates.
pub(crate) type Client = __Name__ServiceClient<Channel>;
/// Variables of the environment, and what they are set to.
pub(crate) type Settings = Vec<(&'static str, String)>;
//% if calls

/// What the services that are called know.
pub(crate) const KNOWN: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
/// What they do not know.
pub(crate) const UNKNOWN: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c";

/// The services that are called, as far as they are.
pub(crate) struct Peers {
//% each calls
    __peer__: Peer,
//% end
}

impl Peers {
    pub(crate) async fn start() -> Self {
        Self {
//% each calls
            __peer__: Peer::start(
                "/__peer_package__.__PeerService__/__PeerMethod__",
                |request: __peer__::__PeerRequest__| match request.__peer_field__.as_str() {
                    KNOWN => Ok(__peer__::__PeerResponse__::default()),
                    _ => Err(Status::not_found("a text that is not for everyone")),
                },
            )
            .await,
//% end
        }
    }

    /// Where they are.
    pub(crate) fn settings(&self) -> Settings {
        vec![
//% each calls
            ("SEAWALL___PEER___ADDRESS", self.__peer__.url()),
//% end
        ]
    }
}
//% end
//% if sql

/// Runs `test` against a service with an empty database, on each engine in turn.
pub(crate) async fn on_each_engine(test: impl AsyncFn(Client)) {
//% if calls
    let peers = Peers::start().await;
    on_each_engine_with(peers.settings(), test).await;
}

/// The same with further settings.
pub(crate) async fn on_each_engine_with(further: Settings, test: impl AsyncFn(Client)) {
//% end
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/__name__.db", folder.path().display());
    for url in [Some(sqlite), seawall_testkit::postgres::database().await].into_iter().flatten() {
        println!("on {url}");
        let shutdown = Shutdown::new(Duration::ZERO);
//% if calls
        let settings = [further.clone(), vec![("SEAWALL_SQL_URL", url)]].concat();
//% else
        let settings = vec![("SEAWALL_SQL_URL", url)];
//% end
        test(start(settings, &shutdown).await).await;
        shutdown.begin();
    }
}
//% else

/// Runs `test` against a service.
pub(crate) async fn on_service(test: impl AsyncFn(Client)) {
//% if calls
    let peers = Peers::start().await;
    on_service_with(peers.settings(), test).await;
}

/// The same with further settings.
pub(crate) async fn on_service_with(settings: Settings, test: impl AsyncFn(Client)) {
//% else
    let settings = Settings::new();
//% end
    let shutdown = Shutdown::new(Duration::ZERO);
    test(start(settings, &shutdown).await).await;
    shutdown.begin();
}
//% end

/// The service as its process starts it, with the same settings by the same names.
async fn start(settings: Settings, shutdown: &Shutdown) -> Client {
    let mut reader = Reader::new("", "", settings);
    let server =
        Server::try_new(seawall_server::Config::read(&mut reader.section("server"), 0, 0), FILE_DESCRIPTOR_SET)
            .unwrap();
    let config = __name__::Config::read(&mut reader);
    reader.finish().unwrap();

//% if sql
    let bound = __name__::start(config, server).await.unwrap().bind().await.unwrap();
//% else
    let bound = __name__::start(&config, server).bind().await.unwrap();
//% end
    let address = format!("http://{}", bound.address().unwrap());
    tokio::spawn(bound.run(shutdown.clone()));
    connect(&address)
}

pub(crate) fn connect(address: &str) -> Client {
    let variables = [("SEAWALL___NAME___ADDRESS", address), ("SEAWALL___NAME___TIMEOUT", "1min")];
    let mut reader = Reader::new("", "", variables);
    let config = seawall_client::Config::read(&mut reader.section("__name__"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    __Name__ServiceClient::new(Channel::new("__name__", &config, &Policies::default()))
}

/// What a caller chooses of an item.
pub(crate) fn chosen(title: &str) -> Item {
    Item {
        title: title.into(),
//% each calls
        __peer___id: KNOWN.into(),
//% end
//% if sql
        ..Default::default()
//% end
    }
}
//% if sql

/// Creates an item, which must be good.
pub(crate) async fn create(client: &Client, title: &str) -> Item {
    let request = CreateItemRequest { item: Some(chosen(title)) };
    client.clone().create_item(request).await.unwrap().into_inner().item.unwrap()
}
//% end

/// What `answer` was refused with; every error must name the trace, and Seawall or this service.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    Refusal::of(answer, &["__name__.__root__.dev", "seawall.dev"])
}
//% if sql

/// `NOT_FOUND`, for an item.
pub(crate) fn item_not_found(item_id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "ITEM_NOT_FOUND").about("__root__.__name__.v1.Item", item_id)
}
//% end
//% each calls

/// `NOT_FOUND`, for what __peer__ does not know.
pub(crate) fn __peer___not_found(__peer___id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "__PEER___NOT_FOUND").about("__peer_package__.__PeerThing__", __peer___id)
}
//% end
