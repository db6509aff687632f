//! The health of the process once more: under another name, and with the path of unary methods that
//! generated servers of ours take, where those of others go through tonic.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::Response;
use seawall_health::Health;
use seawall_unary::{Settings, unary};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Status};
use tonic_health::pb::health_server::Health as HealthService;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::wire::CHECK;

const STOCK: &str = "grpc.health.v1";
/// As long as the other, so that bytes with one are as right, or as wrong, with the other.
const LEAN: &str = "grpc.health.v2";

/// The contracts of what is served, and that of this service, in a file of another name as well.
pub(crate) static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let health = replaced(&renamed(seawall_health::FILE_DESCRIPTOR_SET), "health.proto", "hearty.proto");
    [seawall_proto::FILE_DESCRIPTOR_SET, &health].concat()
});

/// The same bytes with the other name.
pub(crate) fn renamed(bytes: &[u8]) -> Vec<u8> {
    replaced(bytes, STOCK, LEAN)
}

/// `old` and `new` are equally long.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let (mut bytes, mut from) = (bytes.to_vec(), 0);
    while let Some(at) = bytes[from..].windows(old.len()).position(|window| window == old.as_bytes()) {
        from += at + old.len();
        bytes[from - old.len()..from].copy_from_slice(new.as_bytes());
    }
    bytes
}

/// The service; `S` is the one that it does not differ from.
#[derive(Debug, Clone)]
pub(crate) struct Lean<S> {
    pub(crate) health: Health,
    pub(crate) stock: S,
}

impl<S> NamedService for Lean<S> {
    const NAME: &'static str = "grpc.health.v2.Health";
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> UnaryService<HealthCheckRequest> for Lean<S> {
    type Response = HealthCheckResponse;
    type Future = Boxed<Result<tonic::Response<HealthCheckResponse>, Status>>;

    fn call(&mut self, request: Request<HealthCheckRequest>) -> Self::Future {
        let health = self.health.clone();
        Box::pin(async move { health.check(request).await })
    }
}

impl<S> Service<http::Request<Body>> for Lean<S>
where
    S: Service<http::Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.stock.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().replacen(LEAN, STOCK, 1);
        if path != CHECK {
            *request.uri_mut() = path.parse().unwrap();
            return Box::pin(self.stock.call(request));
        }
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(unary(&mut grpc, service, request, Settings::default()).await)
        })
    }
}
