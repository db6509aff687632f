//! Endpoints that do as they are told.

use std::collections::BTreeMap;
use std::future::{Future, Ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use seawall_balance::{Address, Balance, Builder, Config, Discover, Endpoint};
use seawall_classify::{Classifier, Direction, End, ObservedFuture, Observer, code_in};
use seawall_deadline::{GRPC_TIMEOUT, parse_timeout};
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

/// What an endpoint does with a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Answers after this long.
    Serves(Duration),
    /// Answers with this code, after 1 ms.
    Answers(Code),
    /// Answers every other call with `UNAVAILABLE`, the others after 10 ms.
    FailsHalf,
    /// Sends headers at once, and this as trailers after as long.
    Streams(Duration, Code),
    /// Never answers.
    Swallows,
    /// Is not called: a breaker in front of it is open.
    Refuses,
}

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) const SERVES: Mode = Mode::Serves(Duration::from_millis(10));

#[derive(Debug)]
struct State {
    mode: Mode,
    is_available: bool,
    calls: u64,
    in_flight: u64,
}

/// One endpoint; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    pub(crate) fn set_available(&self, is_available: bool) {
        self.0.lock().unwrap().is_available = is_available;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.0.lock().unwrap().in_flight
    }
}

impl Endpoint for Fake {
    fn is_available(&self, _: &str) -> bool {
        self.0.lock().unwrap().is_available
    }
}

type Refused = ObservedFuture<Ready<Result<Response<Body>, Status>>, Silent>;

#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn end(self, _: End) {}
}

/// Counts a call down when it ends, however it ends.
struct InFlight(Fake);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().in_flight -= 1;
    }
}

impl Service<Request<Body>> for Fake {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let (mode, nth) = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.in_flight += 1;
            (state.mode, state.calls)
        };
        let in_flight = InFlight(self.clone());
        Box::pin(async move {
            let _in_flight = in_flight;
            match mode {
                Mode::Serves(after) => {
                    sleep(after).await;
                    Ok(with_trailers(Duration::ZERO, Code::Ok))
                }
                Mode::FailsHalf if nth.is_multiple_of(2) => {
                    sleep(Duration::from_millis(10)).await;
                    Ok(with_trailers(Duration::ZERO, Code::Ok))
                }
                Mode::FailsHalf => Err(Status::unavailable("told to")),
                Mode::Answers(code) => {
                    sleep(Duration::from_millis(1)).await;
                    Ok(Status::new(code, "told to").into_http())
                }
                Mode::Streams(after, code) => Ok(with_trailers(after, code)),
                Mode::Swallows => std::future::pending().await,
                Mode::Refuses => {
                    let refused = Refused::refused(Status::unavailable("the breaker is open"));
                    Ok(refused.await?.map(Body::new))
                }
            }
        })
    }
}

fn with_trailers(after: Duration, code: Code) -> Response<Body> {
    let trailers = async move {
        sleep(after).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", (code as i32).into());
        Some(Ok::<_, Status>(trailers))
    };
    let body = http_body_util::Empty::<bytes::Bytes>::new().map_err(|never| match never {});
    Response::new(Body::new(body.with_trailers(trailers)))
}

/// Whatever endpoints a balancer has asked for, by their address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet(Arc<Mutex<BTreeMap<String, Fake>>>);

impl Fleet {
    /// The endpoint of an address, which serves unless it was told otherwise.
    pub(crate) fn at(&self, address: &str) -> Fake {
        let new = || Fake(Arc::new(Mutex::new(State { mode: SERVES, is_available: true, calls: 0, in_flight: 0 })));
        self.0.lock().unwrap().entry(address.to_owned()).or_insert_with(new).clone()
    }

    /// Calls of all endpoints, by address.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.0.lock().unwrap().values().map(Fake::calls).collect()
    }

    /// A balancer over these endpoints that reads `grpc-timeout`.
    pub(crate) fn balance(&self, config: Config, discover: impl Discover) -> Client {
        let fleet = self.clone();
        Builder::try_new("fleet", config)
            .unwrap()
            .timeout_of(|headers| parse_timeout(headers.get(GRPC_TIMEOUT)?.as_bytes()).ok())
            .build(discover, move |address| fleet.at(address.authority.as_str()), classifier as fn(&str) -> Classifier)
    }
}

pub(crate) type Client = Balance<Fake, fn(&str) -> Classifier>;

fn classifier(_: &str) -> Classifier {
    Classifier::new(Direction::Outbound, false)
}

pub(crate) fn address(host: &str) -> Address {
    Address::new(host.parse().unwrap())
}

pub(crate) fn addresses(hosts: &[&str]) -> Vec<Address> {
    hosts.iter().map(|host| address(host)).collect()
}

pub(crate) fn request() -> Request<Body> {
    Request::builder().uri("/shop.v1.Shop/Get").body(Body::empty()).unwrap()
}

/// Makes a call, to the end of its body, and returns its code. One that never ends fails the test.
pub(crate) async fn call<S, B>(service: S, request: Request<Body>) -> Code
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status>,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let response = match timeout(HOUR, service.oneshot(request)).await.expect("the call never ends") {
        Ok(response) => response,
        Err(status) => return status.code(),
    };
    if let Some(code) = code_in(response.headers()) {
        return code;
    }
    let body = std::pin::pin!(response.into_body()).collect().await.unwrap();
    body.trailers().and_then(code_in).unwrap_or(Code::Unknown)
}
