//! Unary calls take a place among those in flight with their message in hand, and leave it when the
//! work is done.
//!
//! Places are for work. A caller that sends its message byte by byte, or does not read its answer,
//! would hold one for as long as it likes, and a few hundred of such calls all of them. So the message
//! is waited for before there is a place, and the answer is taken from the handler before anybody reads
//! it. Both are bounded, in time and in bytes (`unary/held.rs`).
//!
//! From here on a request has the body that services take, so that what is further in moves two words
//! rather than all that there is to a body of hyper's and what is around it.

mod arrival;
mod held;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_error::Error;
use tonic::Status;
use tower::{Layer, Service};

use arrival::Arrival;
use held::{Budget, Held};

thread_local! {
    /// Whether the answer that this thread has last made is one message. Not in the extensions of the answer, which
    /// most have none of otherwise.
    static ONE_MESSAGE: Cell<bool> = const { Cell::new(false) };
}

/// Polls a call; with whether there is one message in its answer, if it has one now, so that whoever wants
/// it can have it soon.
pub(crate) fn noted<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    ONE_MESSAGE.set(false);
    let polled = poll();
    (polled, ONE_MESSAGE.get())
}

/// Waits for the messages of unary calls, and for nobody to read their answers.
#[derive(Debug, Clone)]
pub(crate) struct UnaryLayer<U> {
    is_unary: U,
    message_timeout: Duration,
    message_bytes_max: usize,
    budget: Arc<Budget>,
}

impl<U: Fn(&str) -> bool> UnaryLayer<U> {
    /// `is_unary` is asked with the path of a call whether neither side of it streams.
    pub(crate) fn new(is_unary: U, message_timeout: Duration, message_bytes_max: usize) -> Self {
        Self { is_unary, message_timeout, message_bytes_max, budget: Arc::new(Budget::of(message_bytes_max)) }
    }
}

impl<S, U: Clone> Layer<S> for UnaryLayer<U> {
    type Service = UnaryCalls<S, U>;

    fn layer(&self, inner: S) -> Self::Service {
        UnaryCalls { inner, layer: self.clone() }
    }
}

/// The service of [`UnaryLayer`].
#[derive(Debug, Clone)]
pub(crate) struct UnaryCalls<S, U> {
    inner: S,
    layer: UnaryLayer<U>,
}

impl<S, U, A, B> Service<Request<A>> for UnaryCalls<S, U>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>> + Clone,
    U: Fn(&str) -> bool,
    A: Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Unpin,
{
    type Response = Response<Message<B>>;
    type Error = S::Error;
    type Future = UnaryFuture<S, A, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if !(self.layer.is_unary)(request.uri().path()) {
            let call = self.inner.call(request.map(tonic::body::Body::new));
            return UnaryFuture { state: State::Running { call, budget: None } };
        }
        let UnaryLayer { message_timeout, message_bytes_max, budget, .. } = &self.layer;
        let budget = Arc::clone(budget);
        let (parts, body) = request.into_parts();
        let mut arrival = Arrival::new(body, *message_bytes_max, *message_timeout);
        // Most messages are there with their calls. Nobody has to be woken: a future that waits is polled at once.
        let arrived = arrival.poll(&mut Context::from_waker(Waker::noop()), &budget);
        let state = match arrived {
            Poll::Ready(Ok(message)) => {
                State::Running { call: self.inner.call(whole(parts, message)), budget: Some(budget) }
            }
            Poll::Ready(Err(error)) => State::Refused { error: Some(error) },
            Poll::Pending => {
                // The service that is ready goes with the call; the next call readies its copy.
                let copy = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, copy);
                State::Arriving { waiting: Some(Box::new(Waiting { arrival, inner, parts })), budget }
            }
        };
        UnaryFuture { state }
    }
}

/// A call whose message is not there. It is on the heap, so that the others are not as large.
struct Waiting<S, A> {
    arrival: Arrival<A>,
    inner: S,
    parts: request::Parts,
}

pin_project! {
    /// The response of [`UnaryCalls`]. Dropping it drops the call.
    pub(crate) struct UnaryFuture<S, A: Body, F> {
        #[pin]
        state: State<S, A, F>,
    }
}

pin_project! {
    /// `Arriving` becomes `Running` when the message is there, and ends when it comes too late or is too
    /// much, as does one that was `Refused` at once. `budget` is that of a unary call.
    #[project = StateProj]
    enum State<S, A: Body, F> {
        Arriving { waiting: Option<Box<Waiting<S, A>>>, budget: Arc<Budget> },
        Running { #[pin] call: F, budget: Option<Arc<Budget>> },
        Refused { error: Option<Error> },
    }
}

impl<S, A, B> Future for UnaryFuture<S, A, S::Future>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    A: Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<Message<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Arriving { waiting: place, budget } => {
                    let Some(waiting) = place.as_deref_mut() else { return Poll::Pending };
                    let message = match ready!(waiting.arrival.poll(cx, budget)) {
                        Ok(message) => message,
                        Err(error) => return Poll::Ready(Ok(refused(error))),
                    };
                    let Some(waiting) = place.take() else { return Poll::Pending };
                    let Waiting { mut inner, parts, .. } = *waiting;
                    let (call, budget) = (inner.call(whole(parts, message)), Some(Arc::clone(budget)));
                    state.set(State::Running { call, budget });
                }
                StateProj::Running { call, budget } => {
                    let response = ready!(call.poll(cx))?;
                    return Poll::Ready(Ok(match budget.take() {
                        Some(budget) => taken(response, &budget, cx),
                        None => response.map(Message::unread),
                    }));
                }
                StateProj::Refused { error } => {
                    let error = error.take().unwrap_or_else(Error::deadline_exceeded);
                    return Poll::Ready(Ok(refused(error)));
                }
            }
        }
    }
}

fn whole<B>(parts: request::Parts, message: Message<B>) -> Request<tonic::body::Body>
where
    B: Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    Request::from_parts(parts, tonic::body::Body::new(message))
}

fn refused<B: Body<Data = Bytes>>(error: Error) -> Response<Message<B>> {
    Status::from(error).into_http()
}

/// The response of a unary call with as much of its answer as is there.
fn taken<B: Body<Data = Bytes> + Unpin>(
    response: Response<B>,
    budget: &Arc<Budget>,
    cx: &mut Context<'_>,
) -> Response<Message<B>> {
    ONE_MESSAGE.set(true);
    response.map(|mut body| {
        let (mut frames, mut held) = ([None, None], Held::default());
        for frame in &mut frames {
            let Poll::Ready(Some(next)) = Pin::new(&mut body).poll_frame(cx) else { break };
            let bytes = next.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            *frame = Some(next);
            if held.add(bytes, budget).is_err() {
                // The rest stays where it is, and the call in its place.
                break;
            }
        }
        Message { frames, rest: Some(body), _held: held }
    })
}

/// What was read.
type ReadFrame<B> = Result<Frame<<B as Body>::Data>, <B as Body>::Error>;

/// A body of which the beginning was read: of a unary call, usually all of it.
pub(crate) struct Message<B: Body> {
    frames: [Option<ReadFrame<B>>; 2],
    rest: Option<B>,
    _held: Held,
}

impl<B: Body> Message<B> {
    fn unread(body: B) -> Self {
        Self { frames: [None, None], rest: Some(body), _held: Held::default() }
    }
}

/// A body that has ended.
impl<B: Body> Default for Message<B> {
    fn default() -> Self {
        Self { frames: [None, None], rest: None, _held: Held::default() }
    }
}

impl<B> Body for Message<B>
where
    B: Body<Data = Bytes> + Unpin,
    // What was read is not polled again.
    Self: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.frames.iter_mut().find_map(Option::take) {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.iter().all(Option::is_none) && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 =
            self.frames.iter().flatten().flatten().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
