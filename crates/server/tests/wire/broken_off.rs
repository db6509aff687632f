//! A stream of requests that its caller breaks off is never taken for the whole, whatever reason is given.

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tonic::body::Body;

use crate::harness::{EMPTY, Handler, connect, post, serve};

/// The requests of this method are a stream, as those of all are that are in no contract.
const UPLOAD: &str = "/seawall.order.v1.OrderService/Upload";

/// Reads its requests to the end, and says whether they were whole.
fn upload(said: mpsc::UnboundedSender<bool>) -> Handler {
    Handler::new(move |request| {
        let said = Said(said.clone(), false);
        async move {
            let mut said = said;
            said.1 = request.into_body().collect().await.is_ok();
            Response::builder().header("grpc-status", "0").body(Body::empty()).unwrap()
        }
    })
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
    let (sender, mut said) = mpsc::unbounded_channel();
    let (address, _shutdown) = serve(&[], upload(sender)).await;
    let (sender, _driver) = connect(address, &h2::client::Builder::new()).await;
    let request = post(UPLOAD).body(()).unwrap();
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
