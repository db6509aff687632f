//! The unary methods of generated servers, without what only streams need.
//!
//! [`tonic::server::Grpc::unary`] reads its message as a stream of one: it boxes a decoder and the body,
//! copies the message into a buffer of 8 KiB, and encodes the answer into another one. [`unary`] decodes
//! a message where it lies, and encodes the answer into as many bytes as it has.
//!
//! It does so for calls as nearly all are: one message, not compressed, that comes whole in one piece. Any
//! other goes to tonic with all that was read of it, so that what is odd is answered as tonic answers it,
//! by tonic. The servers that `seawall-codegen` generates call it; handlers do not see a difference.
//!
//! ```
//! # use tonic::server::{Grpc, UnaryService};
//! use seawall_unary::{Settings, unary};
//! use tonic_prost::ProstCodec;
//!
//! # async fn example<S, B>(service: S, request: http::Request<B>) -> http::Response<tonic::body::Body>
//! # where S: UnaryService<String, Response = String>, B: http_body::Body<Data = bytes::Bytes, Error = tonic::Status> + Send + 'static {
//! let mut grpc = Grpc::new(ProstCodec::default());
//! unary(&mut grpc, service, request, Settings::default()).await
//! # }
//! ```
//!
//! # Structure
//! `arrival.rs` reads the message, or gives back what it read; `answer.rs` is the body of an answer.

mod answer;
mod arrival;

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Response, Version};
use prost::Message;
use tonic::Request;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

pub use tonic::codec::EnabledCompressionEncodings;

/// What a message has at most where nobody says otherwise: tonic's default.
const DECODING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Says how messages are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What handlers cannot set: tonic takes it from their answers.
const RESERVED: [HeaderName; 5] = [
    HeaderName::from_static("te"),
    CONTENT_TYPE,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-message-type"),
    HeaderName::from_static("grpc-status"),
];

/// How a generated server was configured: as its [`Grpc`], which does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How answers may be compressed.
    pub send: EnabledCompressionEncodings,
    /// How many bytes a request may have; `None` is tonic's default, 4 MiB.
    pub decoding_bytes_max: Option<usize>,
    /// How many bytes an answer may have; `None` is no bound.
    pub encoding_bytes_max: Option<usize>,
}

/// Answers a unary call as [`Grpc::unary`] does. `grpc` is configured as `settings` say, and takes over
/// where there is more to a call than a message. Dropping the future drops the handler.
pub async fn unary<E, D, S, B>(
    grpc: &mut Grpc<ProstCodec<E, D>>,
    mut service: S,
    request: http::Request<B>,
    settings: Settings,
) -> Response<Body>
where
    E: Message + 'static,
    D: Message + Default + 'static,
    S: UnaryService<D, Response = E>,
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    if !settings.send.is_empty() || request.headers().contains_key(ENCODING) {
        return Box::pin(grpc.unary(service, request)).await;
    }
    let (parts, body) = request.into_parts();
    let bytes_max = settings.decoding_bytes_max.unwrap_or(DECODING_BYTES_MAX);
    let message = match arrival::message(body, bytes_max).await {
        Ok(message) => message,
        Err(body) => return Box::pin(grpc.unary(service, http::Request::from_parts(parts, body))).await,
    };
    match service.call(Request::from_http(http::Request::from_parts(parts, message))).await {
        Ok(response) => answer(response, settings.encoding_bytes_max),
        Err(status) => status.into_http(),
    }
}

fn answer<E: Message + 'static>(response: tonic::Response<E>, bytes_max: Option<usize>) -> Response<Body> {
    let (metadata, message, extensions) = response.into_parts();
    let mut response = Response::new(answer::body(message, bytes_max));
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = headers(metadata);
    *response.extensions_mut() = extensions;
    response
}

fn headers(metadata: MetadataMap) -> HeaderMap {
    let mut headers = metadata.into_headers();
    if !headers.is_empty() {
        for name in &RESERVED {
            headers.remove(name);
        }
    }
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    headers
}
