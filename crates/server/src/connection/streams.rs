//! The calls of one connection: each a task, counted, and ended when nobody reads its answer.
//!
//! hyper asks a body for more only when the peer has room for it. A peer that gives no room would hold
//! a call, whose deadline is kept by that body, for as long as the connection lasts. So the task itself
//! ends a call that has begun to answer and is not through when its deadline has passed for a while.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use seawall_deadline::Deadline;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, sleep_until};

/// What a call that ended at its deadline is given to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    /// The deadline of the call that this thread has just begun: hyper makes its task next.
    static BEGUN: Cell<Option<Deadline>> = const { Cell::new(None) };
    /// Whether the call that this thread polls has begun to answer.
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
}

/// Begins a call, whose answer it marks.
pub(super) fn begin<F: Future>(call: impl FnOnce() -> F) -> Call<F> {
    let (call, deadline) = seawall_deadline::noted(call);
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

impl<F: Future> Future for Call<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = self.project().call.poll(cx);
        ANSWERS.set(answer.is_ready());
        answer
    }
}

/// The calls that are open on a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Open>);

#[derive(Debug, Default)]
struct Open {
    now: AtomicUsize,
    /// All that ever were.
    total: AtomicUsize,
    none: Notify,
}

impl Streams {
    /// Returns when there has been no call for this long. Cancel-safe.
    pub(super) async fn idle(&self, time: Duration) {
        let Open { now, total, none } = &*self.0;
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
        tokio::spawn(Stream { stream, deadline: BEGUN.take(), answers: false, timer: None, _counted: counted });
    }
}

pin_project! {
    /// The task of a call. Dropping what is in it resets the stream.
    struct Stream<F> {
        #[pin]
        stream: F,
        deadline: Option<Deadline>,
        answers: bool,
        #[pin]
        timer: Option<Sleep>,
        _counted: Counted,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        ANSWERS.set(false);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        *this.answers |= ANSWERS.get();
        let Some(deadline) = this.deadline.filter(|_| *this.answers) else { return Poll::Pending };
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(deadline.instant() + LAST_WORDS)));
        }
        this.timer.as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx))
    }
}
