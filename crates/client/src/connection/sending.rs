//! The body of a request, on its way.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;

type Next = Option<Result<Frame<Bytes>, Status>>;

/// A body that goes on, by a task of its own. It breaks off if this is dropped, unless the answer has come.
#[derive(Debug)]
pub(super) struct Sending(Option<AbortHandle>);

impl Sending {
    /// From now on it is for the peer to say whether it wants the rest.
    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends a body: at once, if all of it is there.
pub(super) async fn send(mut body: Body, mut stream: SendStream<Bytes>) -> Sending {
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    match first {
        Poll::Ready(Some(Ok(frame))) if frame.is_data() && body.is_end_stream() => {
            // h2 holds it until there is room for it, as the request has until now. If the stream has ended, the
            // answer says why.
            let _ = stream.send_data(frame.into_data().unwrap_or_default(), true);
            Sending(None)
        }
        first => Sending(Some(tokio::spawn(all(first, body, stream)).abort_handle())),
    }
}

/// Sends frame after frame, until the end or until the peer resets the stream.
async fn all(first: Poll<Next>, mut body: Body, mut stream: SendStream<Bytes>) {
    let mut first = Some(first);
    loop {
        let next = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            match first.take() {
                Some(Poll::Ready(next)) => Poll::Ready(Some(next)),
                _ => Pin::new(&mut body).poll_frame(cx).map(Some),
            }
        });
        let Some(next) = next.await else { return };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return stream.send_reset(reason(&status)),
            None => {
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let is_end = body.is_end_stream();
                if !data.is_empty() && !has_room(&mut stream).await {
                    return;
                }
                if stream.send_data(data, is_end).is_err() || is_end {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = stream.send_trailers(trailers);
                    return;
                }
            }
        }
    }
}

/// Waits until the peer takes more of the stream. False if it takes none.
async fn has_room(stream: &mut SendStream<Bytes>) -> bool {
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(false);
        }
        while stream.capacity() == 0 {
            if !matches!(ready!(stream.poll_capacity(cx)), Some(Ok(_))) {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// What the peer is told of a body that has failed.
fn reason(status: &Status) -> Reason {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(reason) = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return reason;
        }
        next = error.source();
    }
    Reason::INTERNAL_ERROR
}
