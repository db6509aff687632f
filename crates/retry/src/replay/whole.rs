//! What is there of a request when it is made: all of it, as a rule, in one frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::Allowance;

/// A body, from the first frame that nobody has been given yet.
#[derive(Debug)]
pub(super) struct Source {
    ahead: VecDeque<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

impl Source {
    pub(super) fn empty() -> Self {
        Self { ahead: VecDeque::new(), rest: Body::empty() }
    }

    /// One that has been read to its end, and had this frame.
    pub(super) fn of(frame: Bytes) -> Self {
        Self { ahead: VecDeque::from([Ok(Frame::data(frame))]), rest: Body::empty() }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.ahead.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// Reads what is there at once: all of the body, if that is one frame of data or none. Of anything else
/// it reads no more than the two frames that it takes to find out.
pub(super) fn read(mut body: Body) -> Result<Option<Bytes>, Source> {
    // Whoever reads on asks again, with a waker of its own.
    let mut cx = Context::from_waker(Waker::noop());
    let mut whole = None;
    while !body.is_end_stream() {
        let more = match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && whole.is_none() => {
                whole = frame.into_data().ok();
                continue;
            }
            Poll::Ready(Some(more)) => Some(more),
            Poll::Pending => None,
        };
        let ahead = whole.map(|data| Ok(Frame::data(data))).into_iter().chain(more).collect();
        return Err(Source { ahead, rest: body });
    }
    Ok(whole)
}

/// A request of one frame or none, whose memory has been set aside.
#[derive(Debug)]
pub(super) struct Whole {
    frame: Option<Bytes>,
    allowance: Arc<Allowance>,
    pub(super) owner: Option<u32>,
}

impl Whole {
    /// Gives the frame back if there is no room to keep it.
    pub(super) fn try_new(frame: Option<Bytes>, bytes_max: usize, allowance: &Arc<Allowance>) -> Result<Self, Bytes> {
        match frame {
            Some(frame) if frame.len() > bytes_max || !allowance.reserve(frame.len()) => Err(frame),
            frame => Ok(Self { frame, allowance: Arc::clone(allowance), owner: None }),
        }
    }

    /// The body of an attempt.
    pub(super) fn body(&self) -> Body {
        self.frame.clone().map_or_else(Body::empty, |frame| Body::new(WholeBody(Some(frame))))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.allowance.release(self.frame.as_ref().map_or(0, Bytes::len));
    }
}

/// The frame, and with it the end, so that the stream is not ended by an empty frame of its own.
#[derive(Debug)]
struct WholeBody(Option<Bytes>);

impl http_body::Body for WholeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    /// Not exact while there is something, or the request would have a `content-length`, which gRPC does without.
    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
