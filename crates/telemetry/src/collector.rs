//! Whether the collector is there: said once when it goes and once when it comes back.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;

/// What is exported, as one bit each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Spans = 1,
    Metrics = 2,
    Logs = 4,
}

/// What all exporters of a process know of their common collector.
///
/// It is away from the first failure until a signal that has failed gets through again. A signal that
/// never failed says nothing about its return: Jaeger, for one, takes spans and refuses all else.
#[derive(Debug)]
pub(crate) struct Collector {
    endpoint: String,
    failing: AtomicU8,
    lost: AtomicU64,
}

impl Collector {
    pub(crate) fn new(endpoint: &str) -> Arc<Self> {
        Arc::new(Self { endpoint: endpoint.to_owned(), failing: AtomicU8::new(0), lost: AtomicU64::new(0) })
    }

    /// Notes what became of an export of `count` spans or log records.
    pub(crate) fn note(&self, signal: Signal, result: Result<(), impl Display>, count: usize) {
        match result {
            Err(error) => {
                self.lost.fetch_add(count as u64, Ordering::Relaxed);
                if self.goes(signal) {
                    tracing::warn!(endpoint = self.endpoint, ?signal, %error, "the collector is away: what it does not take is lost until it is back");
                }
            }
            Ok(()) => {
                if self.returns(signal) {
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    tracing::info!(endpoint = self.endpoint, lost, "the collector is back");
                }
            }
        }
    }

    /// Whether the collector goes away with this failure.
    fn goes(&self, signal: Signal) -> bool {
        self.failing.fetch_or(signal as u8, Ordering::Relaxed) == 0
    }

    /// Whether the collector comes back with this success.
    fn returns(&self, signal: Signal) -> bool {
        self.failing.load(Ordering::Relaxed) & signal as u8 != 0 && self.failing.swap(0, Ordering::Relaxed) != 0
    }
}

/// An exporter of OpenTelemetry's SDK whose failures are noted rather than logged each time.
pub(crate) struct Watched<E> {
    inner: E,
    collector: Arc<Collector>,
}

impl<E> Watched<E> {
    pub(crate) fn new(inner: E, collector: &Arc<Collector>) -> Self {
        Self { inner, collector: collector.clone() }
    }
}

impl<E> fmt::Debug for Watched<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("collector", &self.collector).finish_non_exhaustive()
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.inner.export(batch).await;
        self.collector.note(Signal::Logs, result.as_ref().copied(), count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        // Metrics are cumulative: the next export makes up for this one.
        self.collector.note(Signal::Metrics, result.as_ref().copied(), 0);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_going_and_its_return_are_said_once_each() {
        let collector = Collector::new("");
        assert!(!collector.returns(Signal::Spans));
        assert!(collector.goes(Signal::Metrics));
        assert!(!collector.goes(Signal::Spans) && !collector.goes(Signal::Metrics));
        assert!(collector.returns(Signal::Spans));
        assert!(!collector.returns(Signal::Metrics));
    }

    #[test]
    fn a_collector_that_takes_spans_alone_does_not_come_and_go() {
        let collector = Collector::new("");
        assert!(collector.goes(Signal::Logs));
        for _ in 0..3 {
            assert!(!collector.returns(Signal::Spans), "back by a signal that was never away");
            assert!(!collector.goes(Signal::Logs) && !collector.goes(Signal::Metrics));
        }
    }
}
