//! What a call allocates, beside the same call through tonic.

use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use seawall_unary::{Settings, unary};
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

/// Two for the headers of the answer, two for its trailers, its bytes, and its body.
const ALLOCATIONS_MAX: u64 = 6;
const BYTES_MAX: u64 = 1_100;

/// Sends the text back.
struct Echo;

impl UnaryService<String> for Echo {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

fn request() -> Request<Body> {
    let message = Bytes::from_static(&[0, 0, 0, 0, 0]);
    Request::post("/a.B/C").body(Body::new(http_body_util::Full::new(message))).unwrap()
}

/// How many allocations, and of how many bytes, a call makes until its answer has been read.
fn measured(call: impl Future<Output = Response<Body>>) -> (u64, u64) {
    let measured = allocation_counter::measure(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(response) = pin!(call).poll(&mut cx) else { panic!("nothing is waited for") };
        let (mut body, mut frames) = (response.into_body(), 0);
        while let Poll::Ready(Some(Ok(_))) = pin!(&mut body).poll_frame(&mut cx) {
            frames += 1;
        }
        assert_eq!(frames, 2, "a message and trailers");
    });
    (measured.count_total, measured.bytes_total)
}

#[test]
fn a_call_allocates_what_its_answer_needs() {
    let mut grpc = Grpc::new(ProstCodec::default());
    let (theirs, their_bytes) = measured(grpc.unary(Echo, request()));
    let (ours, our_bytes) = measured(unary(&mut grpc, Echo, request(), Settings::default()));
    println!("{ours} allocations of {our_bytes} bytes; tonic {theirs} of {their_bytes}");
    assert!(ours <= ALLOCATIONS_MAX && our_bytes <= BYTES_MAX, "{ours} allocations of {our_bytes} bytes");
    assert!(theirs > ALLOCATIONS_MAX && their_bytes > BYTES_MAX, "nothing is gained over tonic");
}
