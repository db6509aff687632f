//! A stream of requests that its caller breaks off is never taken for the whole, whatever reason is given.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use seawall_config::Reader;
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// A message without fields.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];

/// Reads its requests to the end, and says whether they were whole.
#[derive(Debug, Clone)]
struct Upload(mpsc::UnboundedSender<bool>);

impl NamedService for Upload {
    const NAME: &'static str = "test.Upload";
}

impl Service<Request<Body>> for Upload {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let said = Said(self.0.clone(), false);
        Box::pin(async move {
            let mut said = said;
            said.1 = request.into_body().collect().await.is_ok();
            Ok(Response::builder().header("grpc-status", "0").body(Body::empty()).unwrap())
        })
    }
}

/// Says it when it is dropped: a handler whose caller has gone is dropped where it waits.
struct Said(mpsc::UnboundedSender<bool>, bool);

impl Drop for Said {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

/// Whether requests that end like this were taken for the whole.
async fn is_whole(end: impl FnOnce(&mut h2::SendStream<Bytes>)) -> bool {
    let variables = [("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let (sender, mut said) = mpsc::unbounded_channel();
    let server = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().add_service(Upload(sender));
    let bound = server.bind().await.unwrap();
    let stream = TcpStream::connect(bound.address().unwrap()).await.unwrap();
    tokio::spawn(bound.run(Shutdown::new(Duration::from_secs(5))));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://test/test.Upload/Stream").header("content-type", "application/grpc");
    let request = request.header("te", "trailers").body(()).unwrap();
    let (_answer, mut send) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    send.send_data(Bytes::from_static(EMPTY), false).unwrap();
    end(&mut send);
    said.recv().await.unwrap()
}

#[tokio::test]
async fn what_is_broken_off_is_not_the_whole() {
    // The last is what Envoy gives when its own client has gone.
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
        assert!(!is_whole(|send| send.send_reset(reason)).await, "{reason:?} was taken for the end");
    }
}

#[tokio::test]
async fn what_ends_is_the_whole() {
    assert!(is_whole(|send| send.send_data(Bytes::new(), true).unwrap()).await);
    assert!(is_whole(|send| send.send_trailers(HeaderMap::new()).unwrap()).await);
}
