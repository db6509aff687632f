//! A peer that answers each attempt as it is told, and remembers what it was sent.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use seawall_retry::{Allowance, AllowanceConfig, GRPC_RETRY_PUSHBACK_MS, NotSent};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, service_fn};

pub(crate) const METHOD: &str = "/shop.v1.Shop/Get";

/// How the peer answers one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    after: Duration,
    frames_read: usize,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Trailers(Code, Option<&'static str>),
    Error(Code),
    NotSent,
    Http(u16),
    Stream(Vec<&'static str>, Code),
}

impl Answer {
    fn new(then: Then) -> Self {
        Self { after: Duration::ZERO, frames_read: usize::MAX, then }
    }

    /// A response that is only trailers.
    pub(crate) fn code(code: Code) -> Self {
        Self::new(Then::Trailers(code, None))
    }

    /// The same with a push-back.
    pub(crate) fn pushback(code: Code, ms: &'static str) -> Self {
        Self::new(Then::Trailers(code, Some(ms)))
    }

    /// No response.
    pub(crate) fn error(code: Code) -> Self {
        Self::new(Then::Error(code))
    }

    /// The attempt does not leave the process.
    pub(crate) fn not_sent() -> Self {
        Self::new(Then::NotSent)
    }

    /// What a proxy says.
    pub(crate) fn http(status: u16) -> Self {
        Self::new(Then::Http(status))
    }

    /// Headers, messages, trailers.
    pub(crate) fn stream(messages: &[&'static str], code: Code) -> Self {
        Self::new(Then::Stream(messages.to_vec(), code))
    }

    /// The same, `ms` after the request.
    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.after = Duration::from_millis(ms);
        self
    }

    /// The same, when only so many frames of the request have come.
    pub(crate) fn reading(mut self, frames: usize) -> Self {
        self.frames_read = frames;
        self
    }

    async fn make(self) -> Result<Response<Body>, Status> {
        sleep(self.after).await;
        match self.then {
            Then::Trailers(code, pushback) => {
                let mut response = Status::new(code, "").into_http();
                if let Some(ms) = pushback {
                    response.headers_mut().insert(GRPC_RETRY_PUSHBACK_MS, ms.parse().unwrap());
                }
                Ok(response)
            }
            Then::Error(code) => Err(Status::new(code, "")),
            Then::NotSent => {
                let mut status = Status::unavailable("");
                status.set_source(Arc::new(NotSent::new("closed")));
                Err(status)
            }
            Then::Http(status) => Ok(Response::builder().status(status).body(Body::empty()).unwrap()),
            Then::Stream(messages, code) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", (code as i32).into());
                let frames = messages.into_iter().map(|message| Frame::data(Bytes::from_static(message.as_bytes())));
                let frames: Vec<_> = frames.chain([Frame::trailers(trailers)]).map(Ok::<_, Status>).collect();
                Ok(Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames)))))
            }
        }
    }
}

/// What the peer got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at_ms: u128,
    pub(crate) previous_attempts: Option<String>,
    pub(crate) body: String,
}

/// The peer. Answers what was not scripted with the last answer of the script.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    in_flight: Arc<AtomicUsize>,
    start: Instant,
}

struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    pub(crate) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        Self { script, seen: Arc::default(), in_flight: Arc::default(), start: Instant::now() }
    }

    /// The attempts that have come, in the order in which they did.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// When each attempt came.
    pub(crate) fn times(&self) -> Vec<u128> {
        self.seen().iter().map(|seen| seen.at_ms).collect()
    }

    /// The attempts that nobody has dropped and that have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn service(
        self,
    ) -> impl Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Status,
        Future = impl Future<Output = Result<Response<Body>, Status>>,
    > + Clone {
        service_fn(move |request| self.clone().serve(request))
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let _in_flight = InFlight(self.in_flight.clone());
        let (head, mut body) = request.into_parts();
        let answer = {
            let mut script = self.script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        let answer = answer.unwrap();
        let index = {
            let previous = head.headers.get("grpc-previous-rpc-attempts");
            let previous_attempts = previous.map(|value| value.to_str().unwrap().to_owned());
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen { at_ms: self.start.elapsed().as_millis(), previous_attempts, body: String::new() });
            seen.len() - 1
        };
        for _ in 0..answer.frames_read {
            let Some(frame) = body.frame().await else { break };
            let data = frame?.into_data().unwrap();
            self.seen.lock().unwrap()[index].body.push_str(std::str::from_utf8(&data).unwrap());
        }
        let response = answer.make().await?;
        // What is still to come is read while the response is, as HTTP/2 does.
        let seen = self.seen.clone();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap();
                seen.lock().unwrap()[index].body.push_str(std::str::from_utf8(&data).unwrap());
            }
        });
        Ok(response)
    }
}

/// A request with a message.
pub(crate) fn request(message: &'static str) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(Bytes::from_static(message.as_bytes()))));
    *request.uri_mut() = METHOD.parse().unwrap();
    request
}

/// What a peer allows by default.
pub(crate) fn allowance() -> Arc<Allowance> {
    Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), Instant::now().into_std()).unwrap())
}

/// The code of a response that is only trailers, or of an error.
pub(crate) fn code<B>(answer: &Result<Response<B>, Status>) -> Option<Code> {
    match answer {
        Ok(response) => Status::from_header_map(response.headers()).map(|status| status.code()),
        Err(status) => Some(status.code()),
    }
}

/// A stream's messages and the code of its trailers.
pub(crate) async fn read<B>(response: Response<B>) -> (String, Code)
where
    B: http_body::Body<Data = Bytes, Error = Status>,
{
    let collected = response.into_body().collect().await.unwrap();
    let status = collected.trailers().and_then(Status::from_header_map).unwrap();
    (String::from_utf8(collected.to_bytes().to_vec()).unwrap(), status.code())
}
