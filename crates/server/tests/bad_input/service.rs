//! A service whose method reads a stream to its end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tonic::body::Body;
use tonic::server::{ClientStreamingService, Grpc, NamedService};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

/// The path of the method.
pub(crate) const COLLECT: &str = "/test.Streams/Collect";

/// The service; its messages have no fields.
#[derive(Debug, Clone)]
pub(crate) struct Streams;

impl NamedService for Streams {
    const NAME: &'static str = "test.Streams";
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl ClientStreamingService<()> for Streams {
    type Response = ();
    type Future = Boxed<Result<tonic::Response<()>, Status>>;

    fn call(&mut self, request: Request<Streaming<()>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            while messages.message().await?.is_some() {}
            Ok(tonic::Response::new(()))
        })
    }
}

impl Service<http::Request<Body>> for Streams {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).client_streaming(Self, request).await) })
    }
}
