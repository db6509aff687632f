//! Whatever is asked, the answer is that of tonic.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use prost::Message;
use seawall_unary::{EnabledCompressionEncodings, Settings, unary};
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, EncodeBody};
use tonic::codegen::tokio_stream;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstEncoder};

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(bytes = "bytes", tag = "2")]
    details: Bytes,
    /// The code of the answer.
    #[prost(uint32, tag = "3")]
    code: u32,
    /// The names of the metadata that comes back.
    #[prost(string, repeated, tag = "4")]
    metadata: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    /// What the handler has seen of the request.
    #[prost(string, tag = "1")]
    seen: String,
}

/// In the extensions of a request and of its answer.
#[derive(Debug, Clone, PartialEq)]
struct Extension(u8);

/// Answers as the question wants it.
struct Handler;

impl UnaryService<Question> for Handler {
    type Response = Answer;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Answer>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Question>) -> Self::Future {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let seen = format!("{request:?} {:?}", request.extensions().get::<Extension>());
            let question = request.into_inner();
            let names = question.metadata.iter().map(|name| name.parse::<HeaderName>().unwrap());
            let metadata = names.map(|name| (name, HeaderValue::from_static("12"))).collect();
            let metadata = MetadataMap::from_headers(metadata);
            if question.code > 0 {
                let code = Code::from(question.code as i32);
                return Err(Status::with_details_and_metadata(code, question.text, question.details, metadata));
            }
            let mut response = tonic::Response::from_parts(metadata, Answer { seen }, http::Extensions::new());
            response.extensions_mut().insert(Extension(1));
            if question.text.len().is_multiple_of(2) {
                response.disable_compression();
            }
            Ok(response)
        })
    }
}

/// A body as it comes: frames, and `None` where they are waited for.
#[derive(Debug, Clone)]
struct Sent {
    frames: VecDeque<Option<Result<Part, Code>>>,
    /// Whether it is known with the last frame that there are no more.
    says_end: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Data(Vec<u8>),
    Trailers,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.frames.pop_front() {
            None => Poll::Ready(None),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Some(Ok(Part::Data(bytes)))) => Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
            Some(Some(Ok(Part::Trailers))) => {
                let trailers = HeaderMap::from_iter([("x-trailer".parse().unwrap(), HeaderValue::from_static("1"))]);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Some(Err(code))) => Poll::Ready(Some(Err(Status::new(code, "broken off")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.says_end && self.frames.is_empty()
    }
}

/// All there is to an answer.
#[derive(Debug, PartialEq)]
struct Seen {
    status: StatusCode,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    has_ended: bool,
    frames: Vec<Result<Bytes, Vec<(HeaderName, HeaderValue)>>>,
    extension: Option<Extension>,
}

fn list(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn seen(response: Response<Body>) -> Seen {
    let (head, mut body) = response.into_parts();
    let (has_ended, mut frames) = (body.is_end_stream(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap().into_data();
        frames.push(frame.map_err(|frame| list(&frame.into_trailers().unwrap())));
    }
    assert!(body.is_end_stream());
    let extension = head.extensions.get().cloned();
    Seen { status: head.status, version: head.version, headers: list(&head.headers), has_ended, frames, extension }
}

/// A request, and how the server is configured.
#[derive(Debug, Clone)]
struct Asked {
    headers: Vec<(&'static str, &'static str)>,
    body: Sent,
    accept: EnabledCompressionEncodings,
    settings: Settings,
}

impl Asked {
    fn request<B>(&self, body: impl FnOnce(Sent) -> B) -> Request<B> {
        let builder = Request::post("/a.B/C").extension(Extension(7));
        let builder = self.headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(body(self.body.clone())).unwrap()
    }

    fn grpc(&self) -> Grpc<ProstCodec<Answer, Question>> {
        let Settings { send, decoding_bytes_max, encoding_bytes_max } = self.settings;
        Grpc::new(ProstCodec::default())
            .apply_compression_config(self.accept, send)
            .apply_max_message_size_config(decoding_bytes_max, encoding_bytes_max)
    }
}

/// A message as a client sends it.
async fn encoded(question: Question, compression: Option<CompressionEncoding>) -> Vec<u8> {
    let once = tokio_stream::once(Ok(question));
    let body = EncodeBody::new_client(ProstEncoder::default(), once, compression, None);
    body.collect().await.unwrap().to_bytes().into()
}

fn question() -> impl Strategy<Value = Question> + Clone {
    const NAMES: [&str; 9] = [
        "x-a",
        "x-b-bin",
        "te",
        "content-type",
        "grpc-message",
        "grpc-message-type",
        "grpc-status",
        "grpc-encoding",
        "grpc-status-details-bin",
    ];
    let code = prop_oneof![3 => Just(0), 1 => 0u32..20];
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 0..4);
    ("\\PC{0,60}", prop::collection::vec(any::<u8>(), 0..40), code, names)
        .prop_map(|(text, details, code, metadata)| Question { text, details: details.into(), code, metadata })
}

/// What may stand where a message is to be, with its prefix.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let wait = |question, compression| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(encoded(question, compression))
    };
    let good = question().prop_map(move |question| wait(question, None));
    let compressed = question().prop_map(move |question| wait(question, Some(CompressionEncoding::Gzip)));
    let flagged = (good.clone(), any::<u8>()).prop_map(|(mut bytes, flag)| {
        bytes[0] = flag % 4;
        bytes
    });
    let content = prop::collection::vec(any::<u8>(), 0..30);
    let random = content.clone().prop_map(|content| [&[0, 0, 0, 0, content.len() as u8], &content[..]].concat());
    prop_oneof![6 => good, 2 => compressed, 1 => flagged, 1 => random, 1 => content]
}

fn body() -> impl Strategy<Value = Sent> {
    // Mostly one message, in one piece, and nothing else.
    let pieces = prop_oneof![6 => prop::collection::vec(piece(), 1), 1 => prop::collection::vec(piece(), 0..4)];
    let cut = prop_oneof![5 => Just(usize::MAX), 1 => 0usize..80];
    let lengths = prop_oneof![3 => Just(vec![usize::MAX]), 1 => prop::collection::vec(1usize..60, 1..6)];
    let end = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Ok(Part::Trailers))),
        1 => Just(Some(Ok(Part::Data(Vec::new())))),
        1 => prop::sample::select(vec![Code::Cancelled, Code::Aborted]).prop_map(|code| Some(Err(code))),
    ];
    (pieces, cut, lengths, end, any::<bool>(), any::<bool>()).prop_map(
        |(pieces, cut, lengths, end, waits, says_end)| {
            let mut bytes = pieces.concat();
            bytes.truncate(cut);
            let (mut rest, mut lengths) = (&bytes[..], lengths.into_iter().cycle());
            let mut frames = VecDeque::new();
            while !rest.is_empty() {
                let (first, after) = rest.split_at(lengths.next().unwrap().min(rest.len()));
                frames.extend(waits.then_some(None));
                frames.push_back(Some(Ok(Part::Data(first.to_vec()))));
                rest = after;
            }
            frames.extend(end.map(Some));
            Sent { frames, says_end }
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    const HEADERS: [(&str, &str); 9] = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("x-b-bin", "AAAA"),
        ("grpc-encoding", "identity"),
        ("grpc-encoding", "gzip"),
        ("grpc-encoding", "deflate"),
        ("grpc-accept-encoding", "gzip,identity"),
    ];
    let headers = prop_oneof![
        1 => Just(HEADERS[..5].to_vec()),
        1 => prop::sample::subsequence(HEADERS.to_vec(), 0..=HEADERS.len()),
    ];
    let bytes_max = || prop_oneof![4 => Just(None), 1 => (0usize..400).prop_map(Some)];
    (headers, body(), any::<bool>(), prop::bool::weighted(0.2), bytes_max(), bytes_max()).prop_map(
        |(headers, body, accepts, sends, decoding_bytes_max, encoding_bytes_max)| {
            let gzip = |is_enabled| {
                let mut enabled = EnabledCompressionEncodings::default();
                if is_enabled {
                    enabled.enable(CompressionEncoding::Gzip);
                }
                enabled
            };
            let settings = Settings { send: gzip(sends), decoding_bytes_max, encoding_bytes_max };
            Asked { headers, body, accept: gzip(accepts), settings }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_call_is_answered_as_tonic_answers_it(asked in asked()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let theirs = seen(asked.grpc().unary(Handler, asked.request(|body| body)).await).await;
            // As a server has it, and as it comes where the service is in another stack.
            let boxed = unary(&mut asked.grpc(), Handler, asked.request(Body::new), asked.settings).await;
            prop_assert_eq!(&seen(boxed).await, &theirs);
            let as_it_is = unary(&mut asked.grpc(), Handler, asked.request(|body| body), asked.settings).await;
            prop_assert_eq!(&seen(as_it_is).await, &theirs);
            Ok(())
        })?;
    }
}
