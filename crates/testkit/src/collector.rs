//! A collector that remembers what it is sent.

use std::time::Duration;

use seawall_collector::{Bounds, Capture, Filter, Receiver, Store, Trace};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long what a test waits for may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// An OTLP receiver in this process. Dropped, it is gone.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    store: Store,
    capture: Capture,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// Starts one at an address, such as that of one which has gone.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_at(address: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let store = Store::open(folder.path().join("traces.db"), Bounds::default()).expect("the store can be opened");
        let capture = Capture::default();
        let address = address.parse().expect("an address");
        let receiver = Receiver::new(store.clone()).capture_into(capture.clone());
        let bound = receiver.bind(address).await.expect("the port is free");
        let endpoint = format!("http://{}", bound.address());
        let task = tokio::spawn(async move {
            let _ = bound.run(std::future::pending()).await;
        });
        Self { endpoint, store, capture, task, _folder: folder }
    }

    /// Where to send to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The trace, once `complete` says that it is.
    ///
    /// # Panics
    /// With what has arrived, if that takes longer than 20 s.
    pub async fn trace(&self, id: &str, complete: impl Fn(&Trace) -> bool) -> Trace {
        let mut stats = self.store.stats();
        let arrived = async {
            loop {
                stats.borrow_and_update();
                if let Some(trace) = self.store.trace(id).expect("the store can be read").filter(&complete) {
                    return trace;
                }
                stats.changed().await.expect("the store is open");
            }
        };
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(trace) => trace,
            Err(_) => panic!("trace {id} is not complete: {:#?}", self.store.trace(id)),
        }
    }

    /// What has arrived of a trace.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn trace_if_any(&self, id: &str) -> Option<Trace> {
        self.store.trace(id).expect("the store can be read")
    }

    /// The names of the spans with which the latest traces began.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn roots(&self) -> Vec<String> {
        let recent = self.store.recent(1_000, &Filter::default()).expect("the store can be read");
        recent.into_iter().map(|trace| trace.root_name).collect()
    }

    /// What was sent beside traces, once `complete` says that it is there.
    ///
    /// # Panics
    /// If that takes longer than 20 s.
    pub async fn capture(&self, complete: impl Fn(&Capture) -> bool) -> &Capture {
        let mut exports = self.capture.exports();
        let arrived = async {
            loop {
                exports.borrow_and_update();
                if complete(&self.capture) {
                    return;
                }
                exports.changed().await.expect("the capture is ours");
            }
        };
        assert!(tokio::time::timeout(PATIENCE, arrived).await.is_ok(), "not received: {:#?}", self.capture);
        &self.capture
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}
