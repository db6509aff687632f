//! A service that answers one method, for services that call it.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

/// A service of which one method is there. Dropped, it accepts no more connections.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Peer {
    /// Starts it on a free port. `path` is that of the method, such as `/seawall.user.v1.UserService/GetUser`;
    /// calls of other methods are answered with `UNIMPLEMENTED`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start<Q, A, F>(path: &'static str, answer: F) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        F: Fn(Q) -> Result<A, Status> + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a socket that is bound has an address");
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let answer = answer.clone();
            async move {
                if request.uri().path() != path {
                    return Ok(Status::unimplemented(path).into_http());
                }
                let method = tower::service_fn(move |request: tonic::Request<Q>| {
                    ready(answer(request.into_inner()).map(Response::new))
                });
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
                Ok::<_, Infallible>(grpc.unary(method, request).await)
            }
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service.clone()));
            }
        });
        Self { address, task }
    }

    /// Where it is, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
