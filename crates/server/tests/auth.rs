//! Who may call, over real sockets and through the whole stack: tokens of an issuer that publishes its keys
//! over HTTP and changes them, and the rules of the real contracts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use seawall_auth::Identity;
use seawall_config::Reader;
use seawall_policy::Policies;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::user_service_server::{UserService, UserServiceServer};
use seawall_proto::seawall::user::v1::{
    BatchGetUsersRequest, BatchGetUsersResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest,
    DeleteUserResponse, GetUserRequest, GetUserResponse, ImportUsersRequest, ImportUsersResponse, ListUsersRequest,
    ListUsersResponse, UpdateUserRequest, UpdateUserResponse, User,
};
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// Answers with who calls: `GetUser` by name, and every other method of unary calls by nothing.
#[derive(Debug)]
struct Users;

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let caller = Identity::current();
        assert_eq!(request.extensions().get::<Identity>(), caller.as_ref());
        let display_name = caller.and_then(|caller| Some(caller.subject()?.to_owned())).unwrap_or_default();
        let user = Some(User { display_name, ..User::default() });
        Ok(Response::new(GetUserResponse { user }))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<CreateUserResponse>, Status> {
        Ok(Response::new(CreateUserResponse::default()))
    }

    async fn batch_get_users(
        &self,
        _: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        Ok(Response::new(BatchGetUsersResponse::default()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Ok(Response::new(ListUsersResponse::default()))
    }

    async fn update_user(&self, _: Request<UpdateUserRequest>) -> Result<Response<UpdateUserResponse>, Status> {
        Ok(Response::new(UpdateUserResponse::default()))
    }

    async fn delete_user(&self, _: Request<DeleteUserRequest>) -> Result<Response<DeleteUserResponse>, Status> {
        Ok(Response::new(DeleteUserResponse::default()))
    }

    async fn import_users(
        &self,
        _: Request<Streaming<ImportUsersRequest>>,
    ) -> Result<Response<ImportUsersResponse>, Status> {
        Ok(Response::new(ImportUsersResponse::default()))
    }
}

/// A key of the issuer.
struct Key {
    kid: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { kid, pair }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({"kty": "EC", "kid": self.kid, "crv": "P-256", "x": x, "y": y})
    }

    /// A token about `ada`, with these claims in the place of the usual ones.
    fn token(&self, changes: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": "https://id.example", "aud": "shop", "sub": "ada", "exp": now + 600});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "kid": self.kid});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Publishes keys over HTTP.
#[derive(Clone)]
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self { address: listener.local_addr().unwrap(), answer: Arc::default(), asked: Arc::default() };
        issuer.publish(keys);
        let served = issuer.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                served.asked.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 1_024]).await;
                let answer = match &*served.answer.lock().unwrap() {
                    Some(keys) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()),
                    None => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    fn publish(&self, keys: &[&Key]) {
        let keys = json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string();
        *self.answer.lock().unwrap() = Some(keys);
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

/// A server whose callers are asked for tokens of the issuer. It ends when this is dropped.
struct Edge {
    channel: Channel,
    metrics: SocketAddr,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Edge {
    async fn start(issuer: &Issuer, settings: &str, policies: &str) -> Self {
        let toml = format!(
            "[server]\nlisten = '127.0.0.1:0'\nmetrics_listen = '127.0.0.1:0'\n[auth]\nenabled = true\nissuer = 'https://id.example'\n\
             audience = 'shop'\njwks = 'http://{}/keys'\n{settings}",
            issuer.address
        );
        let mut reader = Reader::new(&toml, "server.toml", [("", "")]);
        let config = Config::read(&mut reader.section("server"), 0, 0);
        reader.finish().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policies.toml");
        std::fs::write(&file, policies).unwrap();
        let contract = seawall_server::contract(FILE_DESCRIPTOR_SET).unwrap();
        let policies = Policies::try_new(contract, Some(file)).unwrap();
        let server = Server::with_policies(config, FILE_DESCRIPTOR_SET, policies);
        let bound = server.add_service(UserServiceServer::new(Users)).bind().await.unwrap();
        let (address, metrics) = (bound.address().unwrap(), bound.metrics_address().unwrap());
        let task = tokio::spawn(bound.run(Shutdown::new(Duration::from_secs(1))));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, metrics, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    /// Who the handler was called by, or the code and reason why it was not.
    async fn get_user(&self, token: Option<&str>) -> String {
        let answer =
            UserServiceClient::new(self.channel.clone()).get_user(with(token, GetUserRequest::default())).await;
        answer.map(|answer| answer.into_inner().user.unwrap().display_name).unwrap_or_else(|status| told(&status))
    }

    async fn create_user(&self, token: &str) -> String {
        let request = with(Some(token), CreateUserRequest::default());
        let answer = UserServiceClient::new(self.channel.clone()).create_user(request).await;
        answer.map(|_| "made".to_owned()).unwrap_or_else(|status| told(&status))
    }

    async fn is_serving(&self) -> bool {
        let answer = HealthClient::new(self.channel.clone()).check(HealthCheckRequest::default()).await;
        answer.expect("health asks nobody who they are").into_inner().status == 1
    }

    /// Until the handler, or the reason why not, is `wanted`.
    async fn until(&self, token: &str, wanted: &str) {
        while self.get_user(Some(token)).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn with<T>(token: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// The code and the reason, of a status that tells nothing else.
fn told(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "seawall.dev");
    assert!(info.metadata.is_empty() && status.get_details_request_info().is_some(), "{status:?}");
    format!("{:?} {}", status.code(), info.reason)
}

const READ: &str = "users.read";
/// Keys are asked for when they are wanted, and hardly otherwise.
const QUICK: &str = "jwks_refresh_interval = '1h'\njwks_refresh_interval_min = '100ms'";

#[tokio::test]
async fn a_token_opens_what_the_contract_opens_to_its_scopes_and_nothing_else() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let edge = Edge::start(&issuer, QUICK, "").await;
    let (reader, writer) = (key.token(json!({"scope": READ})), key.token(json!({"scope": "users.write"})));
    assert_eq!(edge.get_user(Some(&reader)).await, "ada", "the first call waits for the keys");
    assert!(edge.is_serving().await);
    assert_eq!(edge.get_user(Some(&writer)).await, "PermissionDenied NOT_ALLOWED");
    assert_eq!(edge.create_user(&writer).await, "made");
    assert_eq!(edge.create_user(&reader).await, "PermissionDenied NOT_ALLOWED");
    assert_eq!(edge.get_user(None).await, "Unauthenticated CREDENTIALS_MISSING");
    assert_eq!(
        edge.get_user(Some(&key.token(json!({"scope": READ, "exp": 1})))).await,
        "Unauthenticated TOKEN_EXPIRED"
    );
    for changes in [json!({"aud": "bank"}), json!({"iss": "https://evil.example"}), json!({"nbf": 99_999_999_999u64})] {
        assert_eq!(edge.get_user(Some(&key.token(changes))).await, "Unauthenticated TOKEN_INVALID");
    }
    let (signed, _) = reader.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), signed.split_once('.').unwrap().1);
    for token in [unsigned.as_str(), signed, "", "a.b.c", &"a".repeat(9_000)] {
        assert_eq!(edge.get_user(Some(token)).await, "Unauthenticated TOKEN_INVALID", "{token}");
    }
    assert_eq!(edge.get_user(Some(&reader)).await, "ada");
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart_and_a_key_that_is_withdrawn_opens_nothing() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let edge = Edge::start(&issuer, QUICK, "").await;
    let [by_old, by_new] = [&old, &new].map(|key| key.token(json!({"scope": READ})));
    edge.until(&by_old, "ada").await;
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    issuer.publish(&[&old, &new]);
    edge.until(&by_new, "ada").await;
    assert_eq!(edge.get_user(Some(&by_old)).await, "ada");
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert_eq!(edge.get_user(Some(&by_old)).await, "ada");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), asked, "known keys cause no request");
    issuer.publish(&[&new]);
    // Found out by whoever comes with a key that nobody knows.
    let unknown = Key::new("unknown").token(json!({"scope": READ}));
    while edge.get_user(Some(&by_old)).await == "ada" {
        assert_eq!(edge.get_user(Some(&unknown)).await, "Unauthenticated TOKEN_INVALID");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(edge.get_user(Some(&by_new)).await, "ada");
}

#[tokio::test]
async fn unknown_keys_in_a_flood_cause_few_requests_to_the_issuer() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let edge = Arc::new(Edge::start(&issuer, "jwks_refresh_interval_min = '5min'", "").await);
    edge.until(&key.token(json!({"scope": READ})), "ada").await;
    let unknown = Key::new("unknown").token(json!({}));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (edge, unknown) = (Arc::clone(&edge), unknown.clone());
            tokio::spawn(async move { edge.get_user(Some(&unknown)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), "Unauthenticated TOKEN_INVALID");
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn keys_that_are_too_old_open_nothing_and_health_goes_on() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let edge = Edge::start(
        &issuer,
        "jwks_refresh_interval = '1s'\njwks_refresh_interval_min = '100ms'\njwks_stale_max = '1s'",
        "",
    )
    .await;
    let token = key.token(json!({"scope": READ}));
    edge.until(&token, "ada").await;
    issuer.fail();
    edge.until(&token, "Unavailable TOKEN_KEYS_UNAVAILABLE").await;
    assert!(edge.is_serving().await);
    issuer.publish(&[&key]);
    edge.until(&token, "ada").await;
}

#[tokio::test]
async fn a_server_is_not_ready_before_it_can_judge_tokens() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    issuer.fail();
    let edge = Edge::start(&issuer, QUICK, "").await;
    assert!(!edge.is_serving().await);
    let readyz = async || {
        let mut stream = tokio::net::TcpStream::connect(edge.metrics).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(readyz().await.ends_with("waiting for: keys of tokens\n"));
    issuer.publish(&[&key]);
    while !edge.is_serving().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(readyz().await.ends_with("ready\n"));
}

#[tokio::test]
async fn a_rate_is_of_the_caller_and_not_of_the_connection() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let policies =
        "['seawall.user.v1.UserService/GetUser']\nrate.per_second = 0.001\nrate.burst = 2\nrate.key = ['caller']\n";
    let edge = Edge::start(&issuer, QUICK, policies).await;
    let of = |name: &str| key.token(json!({"scope": READ, "sub": name}));
    for name in ["ada", "bob"] {
        for _ in 0..2 {
            assert_eq!(edge.get_user(Some(&of(name))).await, name);
        }
        assert_eq!(edge.get_user(Some(&of(name))).await, "ResourceExhausted RATE_LIMITED");
    }
    assert_eq!(edge.get_user(None).await, "Unauthenticated CREDENTIALS_MISSING", "who may not call takes no token");
}

#[tokio::test]
async fn a_rule_with_a_mistake_is_refused_before_anything_is_served() {
    let mut set = FILE_DESCRIPTOR_SET.to_vec();
    // A further file: `t`, with the package `t`, with the service `S`, with the empty option 50622.
    set.extend([10, 17, 10, 1, 116, 18, 1, 116, 50, 9, 10, 1, 83, 26, 4, 242, 219, 24, 0]);
    let toml = "[auth]\nenabled = true\nissuer = 'a'\naudience = 'b'\njwks = '/c'\n[server]\nlisten = '127.0.0.1:0'\nmetrics_listen = '127.0.0.1:0'";
    let mut reader = Reader::new(toml, "server.toml", [("", "")]);
    let config = Config::read(&mut reader.section("server"), 0, 0);
    reader.finish().unwrap();
    let error = Server::try_new(config, set.leak()).unwrap().bind().await.unwrap_err();
    assert!(error.to_string().contains("t.S: the rule allows nothing"), "{error}");
}

#[tokio::test]
async fn reflection_is_off_unless_it_is_switched_on() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    for (settings, code) in [("", Code::Unimplemented), ("reflection = true", Code::Ok)] {
        let toml = format!("[server]\nlisten = '127.0.0.1:0'\nmetrics_listen = '127.0.0.1:0'\n{settings}");
        let config = Config::read(&mut Reader::new(&toml, "a.toml", [("", "")]).section("server"), 0, 0);
        let bound = Server::try_new(config, FILE_DESCRIPTOR_SET).unwrap().bind().await.unwrap();
        let address = bound.address().unwrap();
        tokio::spawn(bound.run(Shutdown::new(Duration::ZERO)));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let request = ServerReflectionRequest { message_request, ..ServerReflectionRequest::default() };
        let asked = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
        assert_eq!(asked.map_or_else(|status| status.code(), |_| Code::Ok), code);
    }
}
