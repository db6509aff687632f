//! What is no gRPC call is told so, in the terms of HTTP.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use seawall_clock::hold;
use seawall_error::SEAWALL;
use seawall_headers::{BINARY, Present};
use tonic::{Code, Status};
use tower::{Layer, Service};

const GRPC: &[u8] = b"application/grpc";
/// For people with a browser, or with curl.
const WHAT_THIS_IS: &str = "This is a gRPC server. It answers POST with content-type application/grpc; \
    call it by a gRPC client, such as grpcurl.\n";

/// In the extensions of a response that is none of gRPC: its body, which the others do without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text(pub(crate) &'static str);

/// Answers other methods than POST with 405, other contents than gRPC with 415, several hosts with 400
/// (gRFC A41), a path with a query with `UNIMPLEMENTED`, and binary metadata that is not base64 with
/// `INVALID_ARGUMENT`, naming the header.
///
/// As the outermost layer it tells the others which headers there are, and what time it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProtocolLayer;

impl<S> Layer<S> for ProtocolLayer {
    type Service = Protocol<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Protocol { inner }
    }
}

/// The service of [`ProtocolLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Protocol<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for Protocol<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ProtocolFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let present = Present::in_these(request.headers());
        match refusal(&request, present) {
            Some(response) => ProtocolFuture::Refused { response: Some(Box::new(response)) },
            None => ProtocolFuture::Running { call: present.while_handed_on(|| hold(|| self.inner.call(request))) },
        }
    }
}

pin_project! {
    /// The response of [`Protocol`].
    #[project = ProtocolFutureProj]
    pub(crate) enum ProtocolFuture<F, B> {
        // On the heap, so that a call is not as large.
        Refused { response: Option<Box<Response<B>>> },
        Running { #[pin] call: F },
    }
}

impl<F, B, E> Future for ProtocolFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            ProtocolFutureProj::Refused { response } => {
                Poll::Ready(Ok(response.take().map(|response| *response).unwrap_or_default()))
            }
            ProtocolFutureProj::Running { call } => call.poll(cx),
        }
    }
}

fn refusal<A, B: Default>(request: &Request<A>, present: Present) -> Option<Response<B>> {
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(if request.method() == Method::HEAD { response } else { explained(response) });
    }
    // One that is there twice is two things at once.
    let mut content_types = request.headers().get_all(CONTENT_TYPE).iter();
    if !content_types.next().is_some_and(is_grpc) || content_types.next().is_some() {
        return Some(explained(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
    }
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Some(plain(StatusCode::BAD_REQUEST));
    }
    // Routers leave queries out, and policies go by what is left; in gRPC all of it is the method.
    let error = if request.uri().query().is_some() {
        SEAWALL.error(Code::Unimplemented, "NO_METHOD", "the path has a query, and no method has")
    } else {
        let name = Some(request.headers()).filter(|_| present.has(BINARY)).and_then(malformed)?;
        SEAWALL.invalid(name, "must be base64, as all metadata whose name ends with -bin")
    };
    Some(Status::from(error).into_http())
}

fn plain<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response
}

fn explained<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.extensions_mut().insert(Text(WHAT_THIS_IS));
    response
}

/// `application/grpc`, alone or with a codec (`+proto`) or a parameter (`;`); not `application/grpc-web`.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let bytes = content_type.as_bytes();
    let (kind, rest) = bytes.split_at(bytes.len().min(GRPC.len()));
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// The first binary header that is not base64, padded or not. Several values may stand in one header,
/// with commas between them.
fn malformed(headers: &HeaderMap) -> Option<&str> {
    let mut binary = headers.iter().filter(|(name, _)| name.as_str().ends_with("-bin"));
    let (name, _) = binary.find(|(_, value)| !value.as_bytes().split(|byte| *byte == b',').all(is_base64))?;
    Some(name.as_str())
}

fn is_base64(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &value[..value.len() - padding];
    let is_whole = match padding {
        0 => digits.len() % 4 != 1,
        _ => padding <= 2 && value.len().is_multiple_of(4),
    };
    is_whole && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, headers: &[(&str, &str)]) -> Option<(StatusCode, Option<String>)> {
        status_of("/a.B/C", method, headers)
    }

    fn status_of(path: &str, method: &str, headers: &[(&str, &str)]) -> Option<(StatusCode, Option<String>)> {
        let builder = Request::builder().method(method).uri(path);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let refused: Response<()> = {
            let request = builder.body(()).unwrap();
            refusal(&request, Present::in_these(request.headers()))?
        };
        let code = refused.headers().get(Status::GRPC_STATUS).map(|code| code.to_str().unwrap().to_owned());
        Some((refused.status(), code))
    }

    #[test]
    fn only_post_is_a_call() {
        for method in ["GET", "PUT", "OPTIONS", "CONNECT"] {
            let refused = status(method, &[("content-type", "application/grpc")]);
            assert_eq!(refused, Some((StatusCode::METHOD_NOT_ALLOWED, None)), "{method}");
        }
        assert_eq!(status("POST", &[("content-type", "application/grpc")]), None);
    }

    #[test]
    fn only_grpc_is_understood() {
        for good in ["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc;charset=utf-8"]
        {
            assert_eq!(status("POST", &[("content-type", good)]), None, "{good}");
        }
        for bad in ["application/json", "application/grpc-web", "application/grpc-web+proto", "", "application/grp"] {
            let refused = Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, None));
            assert_eq!(status("POST", &[("content-type", bad)]), refused, "{bad}");
        }
        assert_eq!(status("POST", &[]), Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, None)));
        let twice = [("content-type", "application/grpc"), ("content-type", "application/grpc")];
        assert_eq!(status("POST", &twice), Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, None)));
    }

    #[test]
    fn a_call_has_one_host_at_most_and_no_query() {
        let hosts = [("content-type", "application/grpc"), ("host", "a"), ("host", "a")];
        assert_eq!(status("POST", &hosts[..2]), None);
        assert_eq!(status("POST", &hosts), Some((StatusCode::BAD_REQUEST, None)));
        for path in ["/a.B/C?", "/a.B/C?d=e"] {
            let refused = status_of(path, "POST", &hosts[..1]);
            assert_eq!(refused, Some((StatusCode::OK, Some("12".to_owned()))), "{path}");
        }
    }

    #[test]
    fn binary_metadata_is_base64() {
        let of = |value| status("POST", &[("content-type", "application/grpc"), ("key-bin", value)]);
        for good in ["", "AA", "AAA", "AAAA", "AA==", "AAA=", "+/+/", "AA,AAA=, AAAA"] {
            assert_eq!(of(good), None, "{good}");
        }
        for bad in ["A", "AAAAA", "AA=", "A===", "====", "AA==AA", "-_-_", "AA AA", "AA,A"] {
            let Some((StatusCode::OK, Some(code))) = of(bad) else { panic!("{bad:?} was taken") };
            assert_eq!(code, "3", "{bad}");
        }
        assert_eq!(status("POST", &[("content-type", "application/grpc"), ("key", "A")]), None);
    }
}
