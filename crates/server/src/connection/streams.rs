//! The calls of one connection: counted, each a task unless it is answered at once, and ended when
//! nobody reads its answer.
//!
//! A call is polled once where it arrives, before there is a task for it. Most of those that wait for
//! nothing are through with that: they cost no task, no wake of another thread, and no write of their own,
//! because the connection writes all the answers together when it has read what there is to read. A handler
//! that computes for long between two awaits keeps its connection waiting, and is to use
//! `tokio::task::spawn_blocking`.
//!
//! hyper asks a body for more only when the peer has room for what there is. A peer that gives no room would
//! hold a call, whose deadline is kept by that body, for as long as the connection lasts. So the task itself
//! ends a call that has begun to answer and is not through when its deadline has passed for a while, and one
//! whose peer has left unread for long what there is to send: less long if that is all of it, one message.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use seawall_deadline::Deadline;
use seawall_propagation::with_peer;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answered::{Answered, noted};
use crate::protocol::Text;
use crate::unary;

/// What a call that ended at its deadline is given to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    /// The deadline of the call that this thread has just begun: hyper makes its task next.
    static BEGUN: Cell<Option<Deadline>> = const { Cell::new(None) };
    /// Whether the call that this thread polls has begun to answer.
    static ANSWERS: Cell<Option<Answer>> = const { Cell::new(None) };
}

/// What a call answers with.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// One message.
    Unary,
    /// Any number of them, each when there is one.
    Other,
}

/// Begins a call, whose answer it marks.
pub(super) fn begin<F: Future>(peer: SocketAddr, call: impl FnOnce() -> F) -> Call<F> {
    let (call, deadline) = with_peer(peer, || seawall_deadline::noted(call));
    BEGUN.set(deadline);
    Call { call }
}

pin_project! {
    /// The future of a call's answer.
    pub(super) struct Call<F> {
        #[pin]
        call: F,
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B, E> Future for Call<F> {
    type Output = Result<Response<Answered<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, is_unary) = unary::noted(|| self.project().call.poll(cx));
        let mut answer = ready!(answer)?;
        ANSWERS.set(Some(if is_unary { Answer::Unary } else { Answer::Other }));
        // What is no answer of gRPC may have something to say to people.
        let is_grpc = answer.status() == StatusCode::OK;
        let text = if is_grpc { None } else { answer.extensions_mut().remove::<Text>() };
        let text = text.map_or_else(Bytes::new, |Text(text)| Bytes::from_static(text.as_bytes()));
        Poll::Ready(Ok(answer.map(|body| Answered::new(text, body))))
    }
}

/// The calls that are open on a connection.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Open>);

#[derive(Debug)]
struct Open {
    peer: SocketAddr,
    /// What a peer is given to read an answer of one message.
    message_timeout: Duration,
    /// And to go on to read another one.
    stall_timeout: Duration,
    now: AtomicUsize,
    /// All that ever were.
    total: AtomicUsize,
    none: Notify,
}

impl Streams {
    pub(super) fn new(peer: SocketAddr, message_timeout: Duration, stall_timeout: Duration) -> Self {
        let (now, total, none) = Default::default();
        Self(Arc::new(Open { peer, message_timeout, stall_timeout, now, total, none }))
    }

    /// Returns when there has been no call for this long. Cancel-safe.
    pub(super) async fn idle(&self, time: Duration) {
        let Open { now, total, none, .. } = &*self.0;
        loop {
            let before = total.load(Ordering::Relaxed);
            if now.load(Ordering::Acquire) > 0 {
                none.notified().await;
                continue;
            }
            sleep(time).await;
            if now.load(Ordering::Acquire) == 0 && total.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// Counts a call for as long as it is there.
#[derive(Debug)]
struct Counted(Arc<Open>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.now.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.now.fetch_add(1, Ordering::Relaxed);
        self.0.total.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.0));
        let mut stream =
            Box::pin(Stream { stream, deadline: BEGUN.take(), answer: None, unread_since: None, timer: None, counted });
        // Nobody has to be woken: a task polls again at once what is not through.
        if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(stream);
        }
    }
}

pin_project! {
    /// The task of a call. Dropping what is in it resets the stream.
    struct Stream<F> {
        #[pin]
        stream: F,
        deadline: Option<Deadline>,
        answer: Option<Answer>,
        // Since when the peer has no room for what there is to send.
        unread_since: Option<Instant>,
        // Ends no later than the call must.
        #[pin]
        timer: Option<Sleep>,
        counted: Counted,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        ANSWERS.set(None);
        let (polled, had_something) = noted(|| with_peer(this.counted.0.peer, || this.stream.poll(cx)));
        if polled.is_ready() {
            return Poll::Ready(());
        }
        *this.answer = this.answer.or(ANSWERS.get());
        if let Some(had_something) = had_something {
            *this.unread_since = had_something.then(Instant::now);
        }
        let Some(answer) = *this.answer else { return Poll::Pending };
        let open = &this.counted.0;
        let patience = match answer {
            Answer::Unary => open.message_timeout,
            Answer::Other => open.stall_timeout,
        };
        let unread_until = this.unread_since.map(|since| since + patience);
        let at_deadline = this.deadline.map(|deadline| deadline.instant() + LAST_WORDS);
        let Some(end) = at_deadline.into_iter().chain(unread_until).min() else { return Poll::Pending };
        if this.timer.as_ref().as_pin_ref().is_none_or(|timer| timer.deadline() > end) {
            this.timer.set(Some(sleep_until(end)));
        }
        let Some(mut timer) = this.timer.as_pin_mut() else { return Poll::Pending };
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= end {
                if unread_until == Some(end) {
                    seawall_provenance::counted("call.unread", &[]);
                }
                return Poll::Ready(());
            }
            // It was set for an earlier time, when something else was unread.
            timer.as_mut().reset(end);
        }
    }
}
