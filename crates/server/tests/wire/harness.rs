//! A server whose handler a test writes, and clients of it that see each frame.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use seawall_config::Reader;
use seawall_server::{Config, Listener, Server};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Methods of the handler: of a contract, which says that the second one answers with a stream.
pub(crate) const UNARY: &str = "/seawall.order.v1.OrderService/GetOrder";
pub(crate) const STREAM: &str = "/seawall.order.v1.OrderService/WatchOrder";
/// A message without fields.
pub(crate) const EMPTY: &[u8] = &[0, 0, 0, 0, 0];
/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A service of a function.
#[derive(Clone)]
pub(crate) struct Handler(Arc<dyn Fn(Request<Body>) -> Answering + Send + Sync>);

impl Handler {
    pub(crate) fn new<F>(handle: impl Fn(Request<Body>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(handle(request))))
    }

    /// For those who do not call it.
    pub(crate) fn none() -> Self {
        Self::new(|_| async { Status::unimplemented("nobody was to call this").into_http() })
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

impl NamedService for Handler {
    const NAME: &'static str = "seawall.order.v1.OrderService";
}

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answering = (self.0)(request);
        Box::pin(async { Ok(answering.await) })
    }
}

/// An answer of these frames.
pub(crate) fn answer(
    frames: impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(Body::new(StreamBody::new(frames))).unwrap()
}

/// The last frame of an answer that is well.
pub(crate) fn ok() -> Frame<Bytes> {
    Frame::trailers([("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect())
}

fn server(settings: &[(&str, &str)], handler: Handler) -> Server {
    let mut variables =
        vec![("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    variables.extend(settings);
    let mut reader = Reader::new("", "", variables);
    let config = Config::read(&mut reader.section("server"), 0, 0);
    reader.finish().unwrap();
    Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().add_service(handler)
}

/// Serves with these settings beside the usual ones.
pub(crate) async fn serve(settings: &[(&str, &str)], handler: Handler) -> (SocketAddr, Shutdown) {
    let bound = server(settings, handler).bind().await.unwrap();
    let address = bound.address().unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    tokio::spawn(bound.run(shutdown.clone()));
    (address, shutdown)
}

/// Connections without sockets, so that time may stand still.
pub(crate) struct Pipes(mpsc::Sender<DuplexStream>);

struct Pipe(mpsc::Receiver<DuplexStream>);

impl Listener for Pipe {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(pipe) => Ok((pipe, (Ipv4Addr::LOCALHOST, 1).into())),
            None => std::future::pending().await,
        }
    }
}

impl Pipes {
    /// Serves with these settings beside the usual ones.
    pub(crate) fn serve(settings: &[(&str, &str)], handler: Handler) -> Self {
        let (pipes, accepted) = mpsc::channel(1);
        tokio::spawn(server(settings, handler).serve(Pipe(accepted), Shutdown::new(Duration::from_secs(5))));
        Self(pipes)
    }

    pub(crate) async fn connect(&self, builder: &h2::client::Builder) -> SendRequest<Bytes> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        self.0.send(theirs).await.unwrap();
        shake_hands(ours, builder).await.0
    }
}

pub(crate) type Driver = JoinHandle<Result<(), h2::Error>>;

pub(crate) async fn connect(address: SocketAddr, builder: &h2::client::Builder) -> (SendRequest<Bytes>, Driver) {
    shake_hands(TcpStream::connect(address).await.unwrap(), builder).await
}

async fn shake_hands<I>(io: I, builder: &h2::client::Builder) -> (SendRequest<Bytes>, Driver)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = builder.handshake(io).await.unwrap();
    (sender.ready().await.unwrap(), tokio::spawn(connection))
}

/// A call to this path, to be changed.
pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(format!("http://test{path}")).header("content-type", "application/grpc").header("te", "trailers")
}
