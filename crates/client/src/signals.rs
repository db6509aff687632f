//! What the endpoints of a peer have to tell those who look for them, and who wait for one.

use tokio::sync::{Notify, watch};

/// News of a peer's endpoints. Nothing here is touched by a call that does not wait.
#[derive(Debug)]
pub(crate) struct Signals {
    lost: Notify,
    /// Whether there are endpoints, as far as is known. Told also when one of them is ready.
    news: watch::Sender<bool>,
}

impl Signals {
    /// Nothing is known, and then the balancer itself waits.
    pub(crate) fn new() -> Self {
        Self { lost: Notify::new(), news: watch::Sender::new(true) }
    }

    /// A connection is lost, or cannot be made: there may be other endpoints by now.
    pub(crate) fn lost(&self) {
        self.lost.notify_one();
    }

    /// Waits for that.
    pub(crate) async fn until_lost(&self) {
        self.lost.notified().await;
    }

    /// An endpoint is ready, so that a call which waits for another one had better go there.
    pub(crate) fn changed(&self) {
        self.news.send_modify(|_| {});
    }

    /// A set of endpoints is in use.
    pub(crate) fn in_use(&self, has_endpoints: bool) {
        self.news.send_replace(has_endpoints);
    }

    /// What is news from now on.
    pub(crate) fn news(&self) -> watch::Receiver<bool> {
        self.news.subscribe()
    }
}
