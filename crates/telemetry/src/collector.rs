//! Whether the collector is there: said once when it goes and once when it comes back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// What all exporters of a process know of their common collector.
#[derive(Debug)]
pub(crate) struct Collector {
    endpoint: String,
    away: AtomicBool,
    lost: AtomicU64,
}

impl Collector {
    pub(crate) fn new(endpoint: &str) -> Arc<Self> {
        Arc::new(Self { endpoint: endpoint.to_owned(), away: AtomicBool::new(false), lost: AtomicU64::new(0) })
    }

    /// Notes what became of an export of `count` spans or log records.
    fn note(&self, result: &OTelSdkResult, count: usize) {
        match result {
            Err(error) => {
                self.lost.fetch_add(count as u64, Ordering::Relaxed);
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(endpoint = self.endpoint, %error, "the collector is away: spans, metrics and logs are not sent until it is back");
                }
            }
            Ok(()) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    tracing::info!(endpoint = self.endpoint, lost, "the collector is back");
                }
            }
        }
    }
}

/// An exporter whose failures are noted rather than logged each time.
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

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        self.collector.note(&result, count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.inner.export(batch).await;
        self.collector.note(&result, count);
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
        self.collector.note(&result, 0);
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
