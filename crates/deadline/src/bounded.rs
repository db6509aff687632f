//! A call that ends at its deadline: the future of the response, then its body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use seawall_error::Error;
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

use crate::{CURRENT, Deadline};

pin_project! {
    /// The response of [`Enforce`](crate::Enforce), [`Bound`](crate::Bound) and
    /// [`Forward`](crate::Forward).
    ///
    /// Dropping it drops the call inside. When the deadline passes it answers
    /// `DEADLINE_EXCEEDED`; the call inside is dropped with this future, which is then done.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Refused { error: Option<Error> },
        Running {
            #[pin] call: F,
            timer: Timer,
            published: bool,
        },
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }

    /// `published` makes the deadline [`Deadline::current`] while the call is polled.
    pub(crate) fn running(call: F, deadline: Option<Deadline>, published: bool) -> Self {
        Self { state: State::Running { call, timer: Timer::new(deadline), published } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<BoundedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { error } => {
                let error = error.take().unwrap_or_else(Error::deadline_exceeded);
                Poll::Ready(Ok(Status::from(error).into_http()))
            }
            StateProj::Running { call, timer, published } => {
                let deadline = timer.deadline;
                match scoped(deadline, *published, || call.poll(cx)) {
                    Poll::Ready(answer) => Poll::Ready(answer.map(|response| {
                        response.map(|body| BoundedBody {
                            inner: Some(body),
                            timer: Timer::new(deadline),
                            published: *published,
                        })
                    })),
                    Poll::Pending if timer.poll_passed(cx) => {
                        Poll::Ready(Ok(Status::from(Error::deadline_exceeded()).into_http()))
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

pin_project! {
    /// A response body that ends with the trailers of `DEADLINE_EXCEEDED` when the deadline passes,
    /// dropping the body inside.
    #[derive(Debug)]
    pub struct BoundedBody<B> {
        #[pin]
        inner: Option<B>,
        timer: Timer,
        published: bool,
    }
}

/// A body that has ended.
impl<B> Default for BoundedBody<B> {
    fn default() -> Self {
        Self { inner: None, timer: Timer::new(None), published: false }
    }
}

impl<B: Body> Body for BoundedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let deadline = this.timer.deadline;
        match scoped(deadline, *this.published, || inner.poll_frame(cx)) {
            Poll::Ready(None) => {
                this.inner.set(None);
                Poll::Ready(None)
            }
            // A stream that is never pending would outrun the timer, so the clock is read as well.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && deadline.is_some_and(|d| d.remaining().is_zero()) => {
                this.inner.set(None);
                Poll::Ready(Some(Ok(expired())))
            }
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending if this.timer.poll_passed(cx) => {
                this.inner.set(None);
                Poll::Ready(Some(Ok(expired())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

fn expired<D>() -> Frame<D> {
    let headers: http::HeaderMap = Status::from(Error::deadline_exceeded()).into_http::<()>().into_parts().0.headers;
    let mut trailers = headers;
    trailers.remove(http::header::CONTENT_TYPE);
    Frame::trailers(trailers)
}

fn scoped<T>(deadline: Option<Deadline>, is_published: bool, poll: impl FnOnce() -> T) -> T {
    if is_published { published(deadline, poll) } else { poll() }
}

/// Makes the deadline, if there is one, [`Deadline::current`] in `f`.
pub(crate) fn published<T>(deadline: Option<Deadline>, f: impl FnOnce() -> T) -> T {
    match deadline {
        Some(deadline) => CURRENT.sync_scope(deadline, f),
        None => f(),
    }
}

/// A timer that costs nothing until something has to wait: most calls answer at their first poll. On the heap, so
/// that those are not as large as one that waits.
#[derive(Debug)]
struct Timer {
    deadline: Option<Deadline>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn new(deadline: Option<Deadline>) -> Self {
        Self { deadline, sleep: None }
    }

    /// Asks the clock first: of several timers at one deadline any may be the first to fire, and the
    /// innermost is to be the one that speaks.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        if deadline.remaining().is_zero() {
            return true;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.instant())));
        sleep.as_mut().poll(cx).is_ready()
    }
}
