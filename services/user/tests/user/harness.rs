//! A running service for each test, and what a client reads from its errors.

use seawall_client::Channel;
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, User};
use seawall_server::Server;
use seawall_shutdown::Shutdown;
use seawall_testkit::Refusal;
use tonic::{Code, Status};

/// The client that the contract generates.
pub(crate) type Client = UserServiceClient<Channel>;

/// Runs `test` against a service with an empty database, on each engine in turn.
pub(crate) async fn on_each_engine(test: impl AsyncFn(Client)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/user.db", folder.path().display());
    for url in [Some(sqlite), seawall_testkit::postgres::database().await].into_iter().flatten() {
        println!("on {url}");
        let shutdown = Shutdown::new(std::time::Duration::ZERO);
        test(start(&url, &shutdown).await).await;
        shutdown.begin();
    }
}

/// The service as its process starts it, with the same settings by the same names.
async fn start(url: &str, shutdown: &Shutdown) -> Client {
    let mut reader = Reader::new("", "", [("SEAWALL_SQL_URL", url)]);
    let server =
        Server::try_new(seawall_server::Config::read(&mut reader.section("server"), 0, 0), FILE_DESCRIPTOR_SET)
            .unwrap();
    let config = user::Config::read(&mut reader);
    reader.finish().unwrap();

    let bound = user::start(config, server).await.unwrap().bind().await.unwrap();
    let address = format!("http://{}", bound.address().unwrap());
    tokio::spawn(bound.run(shutdown.clone()));
    connect(&address)
}

fn connect(address: &str) -> Client {
    let variables = [("SEAWALL_USER_ADDRESS", address), ("SEAWALL_USER_TIMEOUT", "1min")];
    let mut reader = Reader::new("", "", variables);
    let config = seawall_client::Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    UserServiceClient::new(Channel::new("user", &config, &Policies::default()))
}

/// What a caller chooses of a user.
pub(crate) fn chosen(email: &str, display_name: &str) -> User {
    User { email: email.into(), display_name: display_name.into(), ..Default::default() }
}

/// Creates a user, who must be good.
pub(crate) async fn create(client: &Client, email: &str) -> User {
    let request = CreateUserRequest { user: Some(chosen(email, "Ann")) };
    client.clone().create_user(request).await.unwrap().into_inner().user.unwrap()
}

/// What `answer` was refused with; every error must name this service and the trace.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    Refusal::of(answer, &["user.seawall.dev"])
}

/// An error about a user, known by `name`.
pub(crate) fn about_user(code: Code, reason: &str, name: &str) -> Refusal {
    Refusal::new(code, reason).about("seawall.user.v1.User", name)
}

/// `ABORTED`, because somebody else was faster.
pub(crate) fn stale() -> Refusal {
    Refusal::new(Code::Aborted, "ETAG_MISMATCH")
}
