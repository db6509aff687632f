//! What is tried again, where, and what the server sees of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seawall_error::Error;
use seawall_policy::{Contract, Policies};
use seawall_proto::seawall::user::v1::CreateUserRequest;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use crate::shop::{Call, Shop, create, get, policies, serve, users};

/// The calls that a server has seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Call>>>);

impl Seen {
    fn note(&self, call: Call) {
        self.0.lock().unwrap().push(call);
    }

    fn attempts(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().map(Call::attempts).collect()
    }

    fn headers(&self, name: &str) -> Vec<Option<String>> {
        self.0.lock().unwrap().iter().map(|call| call.header(name).map(str::to_owned)).collect()
    }
}

/// A shop that fails every call.
fn failing(seen: &Seen, status: Status) -> Shop {
    let seen = seen.clone();
    Shop::new(move |call| {
        seen.note(call);
        let status = status.clone();
        async { Err(status) }
    })
}

#[tokio::test]
async fn an_idempotent_call_that_fails_is_tried_again_at_another_endpoint() {
    let (bad, good) = (Seen::default(), Seen::default());
    let failing = serve(failing(&bad, Status::unavailable("not today"))).await;
    let noted = good.clone();
    let working = serve(Shop::new(move |call| {
        noted.note(call);
        async { Ok("good".to_owned()) }
    }))
    .await;
    let users = users("retry-elsewhere", &[failing.address, working.address], &policies(""));
    // Which of the two is called first is left to chance; the second call goes to the other one.
    for _ in 0..2 {
        assert_eq!(get(users.clone()).await.unwrap(), "good");
    }
    assert_eq!(bad.attempts(), [0], "the failing endpoint is called once, and not for the second attempt");
    let mut attempts = good.attempts();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 1], "the second attempt says that it is one");
}

#[tokio::test]
async fn what_is_called_for_a_retry_is_marked_and_not_retried() {
    let (front, back) = (Seen::default(), Seen::default());
    let last = serve(failing(&back, Status::unavailable("not today"))).await;
    let next = users("retry-marked-back", &[last.address], &policies(""));
    let noted = front.clone();
    let first = serve(Shop::new(move |call| {
        let (next, attempts) = (next.clone(), call.attempts());
        noted.note(call);
        async move {
            // The first attempt is not the back's fault.
            if attempts == 0 {
                return Err(Status::unavailable("not yet"));
            }
            get(next).await.map_err(|status| Error::dependency("back", status).into())
        }
    }))
    .await;
    let status = get(users("retry-marked-front", &[first.address], &policies(""))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(front.attempts(), [0, 1, 2], "three attempts, as the contract has it");
    assert_eq!(front.headers("seawall-retried"), [None, None, None], "it has gRPC's own header");
    assert_eq!(back.attempts(), [0, 0], "one attempt for each of the two retries that have called");
    assert_eq!(back.headers("seawall-retried"), [Some("1".to_owned()), Some("1".to_owned())]);
}

#[tokio::test]
async fn a_call_that_is_not_idempotent_is_made_once() {
    let seen = Seen::default();
    let server = serve(failing(&seen, Status::unavailable("not today"))).await;
    // Said of all methods, it holds for those that it suits.
    let users = users("retry-never", &[server.address], &policies("retry.attempts_max = 3"));
    assert_eq!(create(users.clone()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(seen.attempts(), [0]);
    assert_eq!(get(users).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(seen.attempts(), [0, 0, 1, 2], "one that is idempotent is tried again");
}

#[tokio::test]
async fn a_code_that_is_not_to_be_retried_is_not() {
    let seen = Seen::default();
    let server = serve(failing(&seen, Status::not_found("nobody"))).await;
    assert_eq!(get(users("retry-codes", &[server.address], &policies(""))).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(seen.attempts(), [0]);
}

/// The contract of the user service, in which `CreateUser` takes an idempotency key.
fn with_a_key() -> Policies {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let text = std::fs::read_to_string(format!("{root}/seawall/user/v1/user.proto")).unwrap();
    let plain = "rpc CreateUser(CreateUserRequest) returns (CreateUserResponse) {";
    let keyed = "rpc CreateUser(CreateUserRequest) returns (CreateUserResponse) {
        option (seawall.policy.v1.method) = {idempotency_key: true, budget_ms: 60000, retry: {attempts_max: 2}};";
    assert!(text.contains(plain));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall/user/v1/user.proto");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text.replace(plain, keyed)).unwrap();
    let mut compiler = protox::Compiler::new([folder.path(), root.as_ref()]).unwrap();
    compiler.include_imports(true).open_file(&file).unwrap();
    Policies::try_new(Contract::try_new(&[&compiler.encode_file_descriptor_set()]).unwrap(), None).unwrap()
}

#[tokio::test]
async fn a_call_with_an_idempotency_key_is_tried_again_if_its_contract_takes_one() {
    let call = async |peer, policies: &Policies, key: Option<&'static str>| {
        let seen = Seen::default();
        let server = serve(failing(&seen, Status::unavailable("not today"))).await;
        let mut request = Request::new(CreateUserRequest::default());
        if let Some(key) = key {
            request.metadata_mut().insert("idempotency-key", MetadataValue::from_static(key));
        }
        users(peer, &[server.address], policies).create_user(request).await.unwrap_err();
        seen
    };
    let keyed = call("retry-keyed", &with_a_key(), Some("k1")).await;
    assert_eq!(keyed.attempts(), [0, 1]);
    assert_eq!(keyed.headers("idempotency-key"), [Some("k1".to_owned()), Some("k1".to_owned())], "on both attempts");
    assert_eq!(call("retry-keyless", &with_a_key(), None).await.attempts(), [0], "the call has no key");
    assert_eq!(call("retry-unkeyed", &policies(""), Some("k1")).await.attempts(), [0], "the contract takes none");
}

/// A failure with what the server says about another attempt.
fn pushed_back(value: &'static str) -> Status {
    let mut status = Status::unavailable("not today");
    status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from_static(value));
    status
}

#[tokio::test]
async fn a_server_that_wants_no_further_attempt_gets_none() {
    let seen = Seen::default();
    let server = serve(failing(&seen, pushed_back("-1"))).await;
    get(users("retry-forbidden", &[server.address], &policies(""))).await.unwrap_err();
    assert_eq!(seen.attempts(), [0]);
}

#[tokio::test]
async fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let server = serve(Shop::new(move |call| {
        noted.lock().unwrap().push(Instant::now());
        async move { if call.attempts() == 0 { Err(pushed_back("400")) } else { Ok("back".to_owned()) } }
    }))
    .await;
    let users = users("retry-later", &[server.address], &policies(""));
    assert_eq!(get(users).await.unwrap(), "back");
    let times = times.lock().unwrap();
    // The contract's back-off is 100 ms at most.
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_millis(400), "{:?}", times[1] - times[0]);
}
