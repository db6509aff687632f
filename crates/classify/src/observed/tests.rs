//! Every way in which a call can end is told, once.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio_stream::StreamExt as _;

use super::*;

#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Observer for Heard {
    fn headers(&mut self) {
        self.0.lock().unwrap().push("headers".into());
    }

    fn end(self, end: End) {
        self.0.lock().unwrap().push(format!("{end:?}"));
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

type Frames = Vec<Result<Frame<Bytes>, Status>>;

fn response(frames: Frames) -> Response<tonic::body::Body> {
    Response::new(StreamBody::new(tokio_stream::iter(frames)).boxed_body())
}

/// A body that can be empty, as a refusal needs.
trait Boxed {
    fn boxed_body(self) -> tonic::body::Body;
}

impl<B: Body<Data = Bytes, Error = Status> + Send + 'static> Boxed for B {
    fn boxed_body(self) -> tonic::body::Body {
        tonic::body::Body::new(self)
    }
}

fn trailers(code: Code) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", i32::from(code).into());
    Frame::trailers(headers)
}

#[tokio::test]
async fn a_stream_ends_with_its_trailers() {
    let heard = Heard::default();
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"x"))), Ok(trailers(Code::NotFound))];
    let call = ObservedFuture::new(async { Ok::<_, Infallible>(response(frames)) }, heard.clone());
    let answer = call.await.unwrap();
    assert_eq!(heard.all(), ["headers"]);
    answer.into_body().collect().await.unwrap();
    assert_eq!(heard.all(), ["headers", "Code(NotFound)"]);
}

#[tokio::test]
async fn a_response_that_is_a_status_ends_at_once() {
    let heard = Heard::default();
    let refusal = async { Ok::<_, Infallible>(Status::not_found("").into_http::<tonic::body::Body>()) };
    let answer = ObservedFuture::new(refusal, heard.clone()).await.unwrap();
    assert_eq!(heard.all(), ["Code(NotFound)"]);
    drop(answer);
    assert_eq!(heard.all(), ["Code(NotFound)"]);
}

#[tokio::test]
async fn errors_end_a_call_before_and_within_its_body() {
    let heard = Heard::default();
    let error = async { Err::<Response<Full<Bytes>>, _>(Status::data_loss("")) };
    ObservedFuture::new(error, heard.clone()).await.unwrap_err();
    assert_eq!(heard.all(), ["Code(DataLoss)"]);

    let heard = Heard::default();
    let other = async { Err::<Response<Full<Bytes>>, _>(std::io::Error::other("refused")) };
    ObservedFuture::new(other, heard.clone()).await.unwrap_err();
    assert_eq!(heard.all(), ["Code(Unavailable)"]);

    let heard = Heard::default();
    let call = async { Ok::<_, Infallible>(response(vec![Err(Status::aborted(""))])) };
    let answer = ObservedFuture::new(call, heard.clone()).await.unwrap();
    answer.into_body().collect().await.unwrap_err();
    assert_eq!(heard.all(), ["headers", "Code(Aborted)"]);
}

/// Such as a peer that is killed in the middle of a stream whose connection closes cleanly.
#[tokio::test]
async fn a_body_without_trailers_ends_as_unknown() {
    let heard = Heard::default();
    let call = async { Ok::<_, Infallible>(response(vec![Ok(Frame::data(Bytes::from_static(b"x")))])) };
    ObservedFuture::new(call, heard.clone()).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(heard.all(), ["headers", "Code(Unknown)"]);
}

#[tokio::test]
async fn what_is_dropped_is_told_as_such() {
    let heard = Heard::default();
    drop(ObservedFuture::new(std::future::pending::<()>(), heard.clone()));
    assert_eq!(heard.all(), ["Dropped"]);

    let heard = Heard::default();
    let endless = tokio_stream::iter(0..).map(|_| Ok::<_, Status>(Frame::data(Bytes::from_static(b"x"))));
    let call = async { Ok::<_, Infallible>(Response::new(StreamBody::new(endless).boxed_body())) };
    drop(ObservedFuture::new(call, heard.clone()).await.unwrap());
    assert_eq!(heard.all(), ["headers", "Dropped"]);
}

#[tokio::test]
async fn a_refusal_is_a_response_without_a_body() {
    type Call = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;
    let refused = ObservedFuture::<Call, Heard>::refused(Status::unavailable("full"));
    let answer = refused.await.unwrap();
    assert_eq!(code_in(answer.headers()), Some(Code::Unavailable));
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
}

/// A proxy answers with HTTP alone; whoever reads that gives the body up, which must not pass for a
/// call that nobody waited for.
#[tokio::test]
async fn an_answer_that_is_not_of_grpc_ends_with_the_code_that_it_stands_for() {
    for (http, code) in [(503, "Unavailable"), (429, "Unavailable"), (404, "Unimplemented"), (500, "Unknown")] {
        let heard = Heard::default();
        let page = Response::builder().status(http).body(Full::new(Bytes::from_static(b"<html>"))).unwrap();
        drop(ObservedFuture::new(async { Ok::<_, Infallible>(page) }, heard.clone()).await.unwrap());
        assert_eq!(heard.all(), [format!("Code({code})")], "{http}");
    }
}

#[tokio::test]
async fn a_refusal_on_this_side_is_told_to_those_outside_as_such() {
    type Call = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;
    let heard = Heard::default();
    let refused = ObservedFuture::<Call, Heard>::refused(Status::unavailable("full"));
    drop(ObservedFuture::new(refused, heard.clone()).await.unwrap());
    assert_eq!(heard.all(), ["Refused(Unavailable)"]);
}
