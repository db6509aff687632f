//! Puts the process's telemetry together, and takes it down.
//!
//! Spans, and the metrics of calls, are exported by `export.rs`; logs, and the metrics that code makes, by
//! OpenTelemetry's SDK.

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::{KeyValue, global};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use seawall_trace::Scope;
use tokio::task::spawn_blocking;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, dynamic_filter_fn, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::collector::{Collector, Watched};
use crate::config::{Config, LogFormat};
use crate::export::Exporter;
use crate::lines::Lines;
use crate::spans::SpanLayer;
use crate::{context, encode, log, metrics};

/// How long one export may take before the collector counts as away.
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long sending what is left may take at the end: less than the second that a shutdown leaves
/// between the drain and the end by force.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(800);
/// How long a reader of the log is waited for at the end, on top of that.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The exporter refused its settings.
    #[error("cannot set up the OTLP exporter")]
    Exporter(#[from] ExporterBuildError),
    /// The collector's address is none.
    #[error("telemetry.otlp_endpoint is no address")]
    Endpoint(#[source] tonic::transport::Error),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The Prometheus reader could not be made.
    #[error("cannot set up the Prometheus reader")]
    Prometheus(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// A subscriber is installed already; telemetry is set up once in a process.
    #[error("telemetry is set up already")]
    Twice,
}

/// The telemetry of a process. [`shutdown`](Self::shutdown) sends what is left.
#[derive(Debug)]
#[must_use = "shutdown() sends what has not been sent yet"]
pub struct Telemetry {
    lines: Lines,
    exporter: Option<Exporter>,
    logger_provider: Option<SdkLoggerProvider>,
    meter_provider: SdkMeterProvider,
}

/// Sets up spans, metrics and logs for the process. Call it once, inside a tokio runtime, before
/// anything is measured.
///
/// # Errors
/// See [`InitError`]. A collector that cannot be reached is none of them.
pub fn init(service: &'static str, version: &'static str, config: &Config) -> Result<Telemetry, InitError> {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service),
            KeyValue::new("service.version", version),
            KeyValue::new("service.instance.id", instance_id(service, std::env::var("HOSTNAME").ok())),
            KeyValue::new("process.pid", i64::from(std::process::id())),
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            KeyValue::new("telemetry.sdk.language", "rust"),
        ])
        .build();
    let collector = config.otlp_endpoint.as_deref().map(|endpoint| (endpoint, Collector::new(endpoint)));

    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(metrics::registry().clone())
        .scope_info_enabled(false)
        .build()
        .map_err(InitError::Prometheus)?;
    let mut meter_provider = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(prometheus);
    let mut logger_provider = None;
    if let Some((endpoint, collector)) = &collector {
        let exporter =
            MetricExporter::builder().with_tonic().with_endpoint(*endpoint).with_timeout(EXPORT_TIMEOUT).build()?;
        meter_provider = meter_provider.with_reader(
            PeriodicReader::builder(Watched::new(exporter, collector)).with_interval(config.metrics_interval).build(),
        );
        logger_provider = Some(logs(endpoint, collector, resource.clone())?);
    }
    let meter_provider = meter_provider.build();

    let lines = Lines::to(std::io::stdout()).map_err(InitError::Thread)?;
    let mut layers = vec![stdout(service, config, &lines)];
    if collector.is_some() {
        let filter = LevelFilter::INFO.and(dynamic_filter_fn(|_, _| Scope::is_current_recorded()));
        layers.push(SpanLayer.with_filter(filter).boxed());
    }
    if let Some(provider) = &logger_provider {
        let filter = events().and(written(config)).and(not_the_exporter());
        layers.push(log::WithIds(OpenTelemetryTracingBridge::new(provider)).with_filter(filter).boxed());
    }
    let wanted = wanted(config, collector.is_some());
    tracing_subscriber::registry().with(layers).with(wanted).try_init().map_err(|_| InitError::Twice)?;
    global::set_meter_provider(meter_provider.clone());
    // Last, because from here on spans are recorded.
    let exporter = match collector {
        Some((endpoint, collector)) => {
            let resource = encode::resource(resource.iter());
            Some(Exporter::start(endpoint, resource, collector, config.metrics_interval)?)
        }
        None => None,
    };
    context::set_sample_ratio(if exporter.is_some() { config.sample_ratio } else { 0.0 });
    if config.access_log {
        log::write_calls(service, is_pretty(config), lines.clone());
    }
    Ok(Telemetry { lines, exporter, logger_provider, meter_provider })
}

impl Telemetry {
    /// Sends what has not been sent and stops. Takes less than a second, whatever the collector does.
    pub async fn shutdown(self) {
        let Self { lines, exporter, logger_provider, meter_provider } = self;
        let spans = async {
            if let Some(exporter) = exporter {
                exporter.shutdown().await;
            }
        };
        // The providers block while their own threads finish; what they wait for runs on this runtime.
        let logs = spawn_blocking(move || logger_provider.map(|all| all.shutdown_with_timeout(SHUTDOWN_TIMEOUT)));
        let metrics = spawn_blocking(move || meter_provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
        // The one of the metrics takes no notice of its timeout.
        let all = async { tokio::join!(spans, logs, metrics) };
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await;
        lines.flush(FLUSH_TIMEOUT);
    }
}

fn logs(
    endpoint: &str,
    collector: &std::sync::Arc<Collector>,
    resource: Resource,
) -> Result<SdkLoggerProvider, InitError> {
    let exporter = LogExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build()?;
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(Watched::new(exporter, collector))
        .build())
}

fn stdout(service: &'static str, config: &Config, to: &Lines) -> Box<dyn Layer<Registry> + Send + Sync> {
    let is_coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_ansi(is_coloured).with_writer(to.clone());
    let filter = events().and(written(config));
    if is_pretty(config) {
        lines.event_format(log::Pretty).with_filter(filter).boxed()
    } else {
        lines.event_format(log::Json { service }).with_filter(filter).boxed()
    }
}

fn is_pretty(config: &Config) -> bool {
    match config.log_format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    }
}

/// What any of the layers wants. Asked before them, because what a layer's own filter refuses is built
/// all the same and only not shown to it: outside of a sampled call no span is to be built.
fn wanted<S: tracing::Subscriber>(config: &Config, exports_spans: bool) -> impl Layer<S> {
    let written = written(config);
    let level_max = written.iter().map(|(_, level)| level).chain(written.default_level()).max();
    let is_logged = move |meta: &Metadata<'_>| !meta.is_span() && written.would_enable(meta.target(), meta.level());
    let is_exported = move |meta: &Metadata<'_>| exports_spans && *meta.level() <= Level::INFO;
    let at_callsite = is_logged.clone();
    dynamic_filter_fn(move |meta, _| is_logged(meta) || is_exported(meta) && Scope::is_current_recorded())
        .with_callsite_filter(move |meta| match (at_callsite(meta), is_exported(meta)) {
            (true, _) => Interest::always(),
            (false, true) => Interest::sometimes(),
            (false, false) => Interest::never(),
        })
        .with_max_level_hint(level_max.unwrap_or(LevelFilter::OFF).max(LevelFilter::INFO))
}

/// What tells this process from others of its service. In containers all of them have the same id of a process,
/// and each has a name of its host.
fn instance_id(service: &str, host: Option<String>) -> String {
    let host = host.filter(|host| !host.is_empty());
    format!("{}-{}", host.as_deref().unwrap_or(service), std::process::id())
}

/// Log lines carry ids rather than spans, so no span is built for their sake.
fn events<S>() -> impl tracing_subscriber::layer::Filter<S> + Send + Sync {
    filter_fn(|meta| meta.is_event())
}

/// What the settings ask for, without the SDK's own lines: it repeats at every export what the
/// collector's state already says once.
fn written(config: &Config) -> Targets {
    config.log_filter.clone().with_target("opentelemetry", LevelFilter::OFF)
}

/// The exporter's own HTTP/2 stack must not feed what it exports.
fn not_the_exporter() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_targets(
        ["h2", "hyper", "hyper_util", "opentelemetry", "tonic", "tower"].map(|target| (target, LevelFilter::OFF)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two replicas in Kubernetes had the same id, so that the metrics of one were taken for those of the other.
    #[test]
    fn replicas_in_containers_are_told_apart() {
        let id = |host: &str| instance_id("user", Some(host.to_owned()));
        assert_ne!(id("user-6d5f-abcde"), id("user-6d5f-fghij"));
        assert!(id("user-6d5f-abcde").starts_with("user-6d5f-abcde-"));
        let pid = std::process::id();
        assert_eq!((instance_id("user", None), id("")), (format!("user-{pid}"), format!("user-{pid}")));
    }
}
