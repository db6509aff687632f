//! Finished spans on their way to the collector.
//!
//! Whoever ends a span writes it as OTLP to the end of a buffer (`export/waiting.rs`); one thread sends what
//! has gathered there. Where too much waits, spans are dropped and counted: a call never waits for its span.
//! The thread sleeps while nothing is recorded, waits a moment for company when a span comes, and goes at
//! once when many have come.

mod sender;
mod waiting;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use seawall_trace::{Carried, Notes, SpanId, TraceContext};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::collector::Collector;
use crate::init::{InitError, SHUTDOWN_TIMEOUT};
use crate::metrics;
use crate::series::Series;
use sender::Sender;
use waiting::{Chunk, Waiting};

/// How much is sent at a time, at most about this and one span: below the 4 MiB that a gRPC server takes by
/// default.
const BATCH_CHUNKS_MAX: usize = 16;
/// How long spans wait for company. Short, so that a trace can be looked at as soon as it is made.
const EXPORT_DELAY: Duration = Duration::from_millis(200);
/// How often at most a log line says that spans were dropped.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) context: TraceContext,
    /// 0 for a root.
    pub(crate) parent: SpanId,
    pub(crate) carried: Option<Arc<Carried>>,
    /// Nanoseconds since 1970, as is `end`.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) notes: Notes,
    pub(crate) what: What,
}

/// What kind of span.
#[derive(Debug)]
pub(crate) enum What {
    /// A call that was served or made.
    Call { series: &'static Series, code: Code, peer: Option<SocketAddr> },
    /// One that code has named.
    Named(Box<Named>),
}

/// A span of `tracing`.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: Cow<'static, str>,
    /// `SpanKind`, as is `status` `StatusCode`, both of OTLP.
    pub(crate) kind: u64,
    pub(crate) status: u64,
    pub(crate) status_message: String,
    pub(crate) attributes: Vec<KeyValue>,
}

/// What the exporting thread waits for.
mod state {
    /// Any span.
    pub(super) const IDLE: u8 = 0;
    /// Many spans.
    pub(super) const GATHERING: u8 = 1;
    /// Nothing: it is awake.
    pub(super) const AWAKE: u8 = 2;
}

#[derive(Debug)]
struct Queue {
    spans: Waiting,
    state: AtomicU8,
    wake: Notify,
    dropped: AtomicU64,
}

/// That of the process, once spans are exported.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Whether spans are exported.
pub(crate) fn is_on() -> bool {
    QUEUE.get().is_some()
}

/// Sends a span, or counts it as dropped.
pub(crate) fn push(span: &Finished) {
    let Some(queue) = QUEUE.get() else { return };
    let dropped = queue.spans.add(span);
    if dropped > 0 {
        queue.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
    // Sequentially consistent, as is the queue's end: either this sees that the thread sleeps, or the
    // thread has seen the span before it did.
    let wants_it = match queue.state.load(Ordering::SeqCst) {
        state::IDLE => true,
        state::GATHERING => queue.spans.are_many(),
        _ => false,
    };
    if wants_it && queue.state.swap(state::AWAKE, Ordering::SeqCst) != state::AWAKE {
        queue.wake.notify_one();
    }
}

/// The thread that exports. Dropping it leaves the thread running; [`shutdown`](Self::shutdown) ends it.
#[derive(Debug)]
pub(crate) struct Exporter {
    end: oneshot::Sender<oneshot::Sender<()>>,
}

impl Exporter {
    /// Starts the thread, which also sends the metrics of calls every `metrics_interval`. `resource` is an
    /// encoded `Resource`.
    pub(crate) fn start(
        endpoint: &str,
        resource: Vec<u8>,
        collector: Arc<Collector>,
        metrics_interval: Duration,
    ) -> Result<Self, InitError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(InitError::Thread)?;
        let sender = {
            let _runtime = runtime.enter();
            Sender::new(endpoint, resource, collector)?
        };
        let queue = QUEUE.get_or_init(|| Queue {
            spans: Waiting::default(),
            state: AtomicU8::new(state::AWAKE),
            wake: Notify::new(),
            dropped: AtomicU64::new(0),
        });
        count_dropped(queue);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || runtime.block_on(run(queue, sender, metrics_interval, ended)))
            .map_err(InitError::Thread)?;
        Ok(Self { end })
    }

    /// Sends what is left, and ends the thread. Waits for no longer than [`SHUTDOWN_TIMEOUT`].
    pub(crate) async fn shutdown(self) {
        let (done, is_done) = oneshot::channel();
        if self.end.send(done).is_ok() {
            // Late, or not at all: the process ends anyway.
            let _ = timeout(SHUTDOWN_TIMEOUT, is_done).await;
        }
    }
}

fn count_dropped(queue: &'static Queue) {
    opentelemetry::global::meter("seawall.telemetry")
        .u64_observable_counter("seawall.telemetry.spans.dropped")
        .with_unit("{span}")
        .with_description("spans that were recorded and not exported, because more came than could be sent")
        .with_callback(|observer| observer.observe(queue.dropped.load(Ordering::Relaxed), &[]))
        .build();
}

async fn run(
    queue: &'static Queue,
    mut sender: Sender,
    metrics_interval: Duration,
    mut ended: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let mut next_metrics = Instant::now() + metrics_interval;
    let mut complaints = Complaints::default();
    loop {
        let end = tokio::select! {
            end = &mut ended => Some(end),
            () = company(queue) => None,
            () = tokio::time::sleep_until(next_metrics) => None,
        };
        queue.state.store(state::AWAKE, Ordering::SeqCst);
        send_all(queue, &mut sender).await;
        complaints.of(queue.dropped.load(Ordering::Relaxed));
        if next_metrics <= Instant::now() || end.is_some() {
            sender.send_metrics(metrics::otlp()).await;
            next_metrics = Instant::now() + metrics_interval;
        }
        if let Some(end) = end {
            if let Ok(done) = end {
                let _ = done.send(());
            }
            return;
        }
    }
}

/// Returns when there are spans that have waited for company, or many.
async fn company(queue: &Queue) {
    queue.state.store(state::IDLE, Ordering::SeqCst);
    if queue.spans.is_empty() {
        queue.wake.notified().await;
    }
    queue.state.store(state::GATHERING, Ordering::SeqCst);
    if !queue.spans.are_many() {
        // Many have come, or time has passed.
        let _ = timeout(EXPORT_DELAY, queue.wake.notified()).await;
    }
}

async fn send_all(queue: &Queue, sender: &mut Sender) {
    let mut chunks = queue.spans.take();
    while !chunks.is_empty() {
        let rest = chunks.split_off(chunks.len().min(BATCH_CHUNKS_MAX));
        let count = chunks.iter().map(|chunk| chunk.count).sum();
        sender.send_spans(chunks.into_iter().map(Chunk::into_bytes).collect(), count).await;
        // Also what has come meanwhile, if that is a whole chunk.
        chunks = rest;
        chunks.extend(queue.spans.take_full());
    }
}

/// Says now and then that spans were dropped.
#[derive(Debug, Default)]
struct Complaints {
    said: u64,
    at: Option<Instant>,
}

impl Complaints {
    fn of(&mut self, dropped: u64) {
        let is_due = self.at.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL);
        if dropped > self.said && is_due {
            let spans = dropped - self.said;
            tracing::warn!(spans, "spans were dropped: more came than can be sent; lower telemetry.sample_ratio");
            (self.said, self.at) = (dropped, Some(Instant::now()));
        }
    }
}
