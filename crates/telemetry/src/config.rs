//! The settings.

use std::time::Duration;

use seawall_config::{Section, Setting};
use tracing_subscriber::filter::Targets;

/// How a process reports on itself.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the collector is; without one nothing is exported, and `/metrics` and the log remain.
    pub otlp_endpoint: Option<String>,
    /// How many of the traces that begin here are recorded, 0 to 1. A call from elsewhere follows
    /// its caller's decision.
    pub sample_ratio: f64,
    /// Which log lines are written.
    pub log_filter: Targets,
    /// How they are written.
    pub log_format: LogFormat,
    /// Whether each call that is served has a log line, when it has ended.
    pub access_log: bool,
    /// How often metrics are exported.
    pub metrics_interval: Duration,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Setting for LogFormat {
    const KIND: &'static str = "auto, json or pretty";
    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "json" => Some(Self::Json),
            "pretty" => Some(Self::Pretty),
            _ => None,
        }
    }
}

/// [`Targets`] as a setting.
struct Filter(Targets);

impl Setting for Filter {
    const KIND: &'static str = "a level such as info, or levels by target such as info,user=debug";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl Config {
    /// Reads the section.
    pub fn read(section: &mut Section<'_>) -> Self {
        let config = Self {
            otlp_endpoint: section.checked(
                "otlp_endpoint",
                "",
                "where spans, metrics and logs are sent by OTLP over gRPC, such as http://127.0.0.1:4317; empty for nowhere",
                "a URL such as http://127.0.0.1:4317",
                |endpoint: &Option<String>| {
                    endpoint.as_ref().is_none_or(|url| {
                        url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
                    })
                },
            ),
            sample_ratio: section.checked(
                "sample_ratio",
                "1",
                "how many of the traces that begin here are recorded; other calls follow their caller",
                "0 to 1",
                |ratio| (0.0..=1.0).contains(ratio),
            ),
            log_filter: section.get::<Filter>("log_filter", "info", "which log lines are written").0,
            log_format: section.get("log_format", "auto", "auto (pretty on a terminal, JSON elsewhere), json or pretty"),
            access_log: section.get("access_log", "false", "whether each call that is served has a log line"),
            metrics_interval: section.checked(
                "metrics_interval",
                "10s",
                "how often metrics are exported",
                "at least 1s",
                |interval| *interval >= Duration::from_secs(1),
            ),
        };
        if config.sample_ratio >= 1.0 {
            section.development_only(
                "sample_ratio",
                "less than 1, such as 0.01, since traces of all calls cost and fill disks",
            );
        }
        config
    }
}
