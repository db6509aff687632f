//! The settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use seawall_config::{Section, Setting};
use seawall_limit::{
    AimdConfig, Algorithm, ConcurrencyConfig, CpuShedderConfig, FixedConfig, Gradient2Config, VegasConfig,
};

/// How a server listens and what it bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez`, `/readyz` and `/policies` are served; port 0 takes a free one.
    pub metrics_listen: SocketAddr,
    /// How long calls in flight may take to end at shutdown.
    pub drain_timeout: Duration,
    /// The deadline of a unary call whose caller names none.
    pub timeout_default: Duration,
    /// The deadline of a streaming call whose caller names none.
    pub stream_timeout_default: Duration,
    /// Connections open at a time; further ones wait to be accepted.
    pub connections_max: usize,
    /// Calls in flight at a time on one connection.
    pub concurrent_streams_max: u32,
    /// Calls in flight at a time on all of them; `None` for no limit.
    pub concurrency: Option<ConcurrencyConfig>,
    /// Sheds calls while the processor is busy; `None` never does.
    pub cpu: Option<CpuShedderConfig>,
}

/// What finds the limit on calls in flight, as a setting.
enum Limit {
    Gradient2,
    Vegas,
    Aimd,
    Fixed,
    Off,
}

impl Setting for Limit {
    const KIND: &'static str = "gradient2, vegas, aimd, fixed or off";
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "gradient2" => Self::Gradient2,
            "vegas" => Self::Vegas,
            "aimd" => Self::Aimd,
            "fixed" => Self::Fixed,
            "off" => Self::Off,
            _ => return None,
        })
    }
}

/// The settings of the shedder.
fn cpu(section: &mut Section<'_>) -> Option<CpuShedderConfig> {
    let cpu_max = section.checked(
        "cpu_max",
        "0.9",
        "the share of its processors at which the process begins to shed calls; 1 for never",
        "more than 0, up to 1",
        |share| *share > 0.0 && *share <= 1.0,
    );
    (cpu_max < 1.0).then(|| CpuShedderConfig { cpu_max, ..CpuShedderConfig::default() })
}

/// The settings of the limit on calls in flight.
fn concurrency(section: &mut Section<'_>) -> Option<ConcurrencyConfig> {
    let limit = section.get(
        "concurrency_limit",
        "gradient2",
        "what finds how many unary calls are served at a time: gradient2, vegas or aimd by latency; fixed; off",
    );
    // The others begin with 20.
    let (least, allowed) = match limit {
        Limit::Fixed => (1, "1 to 1000000"),
        _ => (20, "20 to 1000000; from 1 on where concurrency_limit is fixed"),
    };
    let limit_max: u32 = section.checked(
        "concurrency_max",
        "200",
        "the most unary calls that are served at a time, and the limit where it is fixed",
        allowed,
        |max| (least..=1_000_000).contains(max),
    );
    let streams_max = section.checked(
        "streams_max",
        "1000",
        "the most streaming calls that are open at a time",
        "at least 1",
        |max| *max >= 1,
    );
    let algorithm = match limit {
        Limit::Gradient2 => Algorithm::Gradient2(Gradient2Config { limit_max, ..Gradient2Config::default() }),
        Limit::Vegas => Algorithm::Vegas(VegasConfig { limit_max, ..VegasConfig::default() }),
        Limit::Aimd => Algorithm::Aimd(AimdConfig { limit_max, ..AimdConfig::default() }),
        Limit::Fixed => Algorithm::Fixed(FixedConfig { limit: limit_max }),
        Limit::Off => return None,
    };
    Some(ConcurrencyConfig { algorithm, streams_max, ..ConcurrencyConfig::default() })
}

impl Config {
    /// Reads the section. By default it listens on these ports of the loopback interface.
    pub fn read(section: &mut Section<'_>, port: u16, metrics_port: u16) -> Self {
        let on_loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
        let positive = |timeout: &Duration| !timeout.is_zero();
        Self {
            listen: section.get("listen", &on_loopback(port), "where gRPC is served; port 0 takes a free one"),
            metrics_listen: section.get(
                "metrics_listen",
                &on_loopback(metrics_port),
                "where /metrics, /livez, /readyz and /policies are served; port 0 takes a free one",
            ),
            drain_timeout: section.get("drain_timeout", "10s", "how long calls in flight may take to end at shutdown"),
            timeout_default: section.checked(
                "timeout_default",
                "30s",
                "the deadline of a unary call whose caller names none",
                "more than 0s",
                positive,
            ),
            stream_timeout_default: section.checked(
                "stream_timeout_default",
                "1h",
                "the deadline of a streaming call whose caller names none",
                "more than 0s",
                positive,
            ),
            connections_max: section.checked(
                "connections_max",
                "10000",
                "connections open at a time; further ones wait",
                "1 to 1000000",
                |max| (1..=1_000_000).contains(max),
            ),
            concurrent_streams_max: section.checked(
                "concurrent_streams_max",
                "1000",
                "calls in flight at a time on one connection",
                "at least 1",
                |max| *max >= 1,
            ),
            concurrency: concurrency(section),
            cpu: cpu(section),
        }
    }
}
