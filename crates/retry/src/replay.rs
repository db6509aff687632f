//! A request that can be sent several times: its frames are kept, up to a bound.
//!
//! One that is there as a whole when it is made, as that of a unary call is, is kept as it is. Of any other
//! the frames are kept as they are read, by several attempts perhaps.

mod whole;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Frame, SizeHint};
use seawall_propagation::PREVIOUS_ATTEMPTS;
use tonic::Status;
use tonic::body::Body;

use crate::Allowance;
use whole::{Source, Whole};

/// In the extensions of a request of which a layer outside keeps a copy: that layer makes the call again
/// if it did not reach the peer's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed;

/// The request as the caller made it, of which every attempt gets a copy: for layers that make a call
/// more than once. Attempts are told apart by numbers, their readers; there are 32 at most.
///
/// What an attempt reads is kept for the next one, up to a bound of the request's and one of the peer's
/// [`Allowance`]; what does not fit has the request belong to the attempt that is the furthest, and there is
/// no other from then on.
#[derive(Debug)]
pub struct Original {
    head: Parts,
    kept: Kept,
    next_reader: u32,
}

#[derive(Debug)]
enum Kept {
    Whole(Whole),
    Shared(Arc<Shared>),
}

impl Original {
    /// Keeps at most `bytes_max` of `request`. Marks it as [`Replayed`].
    pub fn new(request: Request<Body>, bytes_max: usize, allowance: Arc<Allowance>) -> Self {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Replayed);
        let whole = whole::read(body).map(|frame| Whole::try_new(frame, bytes_max, &allowance));
        let kept = match whole {
            Ok(Ok(whole)) => Kept::Whole(whole),
            Ok(Err(frame)) => Kept::Shared(Shared::new(Source::of(frame), bytes_max, allowance)),
            Err(source) => Kept::Shared(Shared::new(source, bytes_max, allowance)),
        };
        Self { head, kept, next_reader: 0 }
    }

    /// The request of the next attempt, with the number of its reader: `previous` attempts went before.
    pub fn request(&mut self, previous: u32) -> (u32, Request<Body>) {
        let reader = self.next_reader;
        self.next_reader += 1;
        let body = match &self.kept {
            Kept::Whole(whole) => whole.body(),
            Kept::Shared(shared) => {
                shared.lock().live |= 1 << reader;
                Body::new(ReplayBody { shared: shared.clone(), reader, position: 0, is_ended: false })
            }
        };
        let mut head = self.head.clone();
        if previous > 0 {
            head.headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
        }
        (reader, Request::from_parts(head, body))
    }

    /// The attempt is over; it reads no further. Returns whether another one could be sent all that
    /// was sent before: nobody has the request for itself, and the caller's body has not failed.
    pub fn retire(&self, reader: u32) -> bool {
        let shared = match &self.kept {
            Kept::Whole(whole) => return whole.owner.is_none(),
            Kept::Shared(shared) => shared,
        };
        let mut state = shared.lock();
        state.live &= !(1 << reader);
        let is_replayable = state.owner.is_none() && !matches!(state.end, Some(Err(_)));
        drop(state);
        shared.wakers.wake_all();
        is_replayable
    }

    /// The rest of the request is this attempt's alone. False if it is another one's.
    pub fn commit(&mut self, reader: u32) -> bool {
        match &mut self.kept {
            Kept::Whole(whole) => *whole.owner.get_or_insert(reader) == reader,
            Kept::Shared(shared) => *shared.lock().owner.get_or_insert(reader) == reader,
        }
    }

    /// To which attempt the request was committed, because it did not fit; wakes when that happens.
    pub(crate) fn poll_owner(&self, cx: &Context<'_>) -> Option<u32> {
        match &self.kept {
            // It fits, or would not be one.
            Kept::Whole(whole) => whole.owner,
            Kept::Shared(shared) => {
                shared.wakers.register(CALL, cx.waker());
                shared.lock().owner
            }
        }
    }
}

/// The number that the call itself has among the wakers.
const CALL: u32 = u32::MAX;

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
}

impl Shared {
    fn new(source: Source, bytes_max: usize, allowance: Arc<Allowance>) -> Arc<Self> {
        let (frames, wakers) = (VecDeque::new(), Arc::default());
        let state = State { source, frames, freed: 0, bytes: 0, bytes_max, end: None, live: 0, owner: None, allowance };
        Arc::new(Self { state: Mutex::new(state), wakers })
    }

    /// Held while the caller's body is polled, which is what the attempts take turns at.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    source: Source,
    frames: VecDeque<Bytes>,
    /// How many frames have gone before those in `frames`.
    freed: usize,
    bytes: usize,
    bytes_max: usize,
    end: Option<Result<Option<HeaderMap>, Status>>,
    /// The readers whose attempts go on, as bits: six at most, five attempts and a transparent one.
    live: u32,
    /// Who has the rest for itself: nothing is kept from then on.
    owner: Option<u32>,
    allowance: Arc<Allowance>,
}

impl State {
    /// Frees what the owner has read.
    fn free(&mut self, position: usize) {
        while self.freed < position {
            let bytes = self.frames.pop_front().map_or(0, |frame| frame.len());
            self.allowance.release(bytes);
            self.bytes -= bytes;
            self.freed += 1;
        }
    }

    /// Keeps a frame for the others, or leaves the request to `reader`, who is the furthest.
    fn keep(&mut self, frame: &Bytes, reader: u32) {
        if self.owner.is_some() {
            return;
        }
        if self.bytes + frame.len() <= self.bytes_max && self.allowance.reserve(frame.len()) {
            self.bytes += frame.len();
            self.frames.push_back(frame.clone());
        } else {
            self.owner = Some(reader);
        }
    }

    fn finish(&mut self, end: Result<Option<HeaderMap>, Status>) {
        self.end = Some(end);
        self.source = Source::empty();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.allowance.release(self.bytes);
    }
}

/// The body of one attempt.
#[derive(Debug)]
struct ReplayBody {
    shared: Arc<Shared>,
    reader: u32,
    position: usize,
    is_ended: bool,
}

impl ReplayBody {
    fn poll_source(&mut self, cx: &Context<'_>, state: &mut State) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let wakers = &self.shared.wakers;
        wakers.register(self.reader, cx.waker());
        // The body knows one waker, so it gets one that wakes all who read.
        let waker = Waker::from(wakers.clone());
        let Poll::Ready(frame) = state.source.poll_frame(&mut Context::from_waker(&waker)) else {
            return Poll::Pending;
        };
        wakers.wake_others(self.reader);
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                state.keep(&data, self.reader);
                self.position += 1;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Ok(Err(frame))) => state.finish(Ok(frame.into_trailers().ok())),
            Some(Err(status)) => state.finish(Err(status)),
            None => state.finish(Ok(None)),
        }
        Poll::Ready(self.end(state))
    }

    fn end(&mut self, state: &State) -> Option<Result<Frame<Bytes>, Status>> {
        if std::mem::replace(&mut self.is_ended, true) {
            return None;
        }
        match state.end.as_ref()? {
            Ok(trailers) => trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(status) => Some(Err(status.clone())),
        }
    }
}

impl http_body::Body for ReplayBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let shared = this.shared.clone();
        let mut state = shared.lock();
        let is_other = state.owner.is_some_and(|owner| owner != this.reader);
        if is_other || state.live & (1 << this.reader) == 0 {
            return Poll::Ready(Some(Err(Status::cancelled("another attempt has the request"))));
        }
        if state.owner.is_some() {
            state.free(this.position);
        }
        let next = this.position - state.freed;
        if let Some(frame) = state.frames.get(next).cloned() {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if state.end.is_some() {
            return Poll::Ready(this.end(&state));
        }
        this.poll_source(cx, &mut state)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        let has_read_all = self.position >= state.freed + state.frames.len();
        has_read_all && (self.is_ended || matches!(state.end, Some(Ok(None))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Who waits for the caller's body: at most one waker for each reader and one for the call.
#[derive(Debug, Default)]
struct Wakers(Mutex<Vec<(u32, Waker)>>);

impl Wakers {
    fn lock(&self) -> MutexGuard<'_, Vec<(u32, Waker)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, reader: u32, waker: &Waker) {
        let mut wakers = self.lock();
        match wakers.iter_mut().find(|(of, _)| *of == reader) {
            Some((_, old)) => old.clone_from(waker),
            None => wakers.push((reader, waker.clone())),
        }
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Wakes all but `reader`, who is just being polled.
    fn wake_others(&self, reader: u32) {
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().filter(|(of, _)| *of != reader).for_each(|(_, waker)| waker.wake());
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests;
