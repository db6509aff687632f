//! The settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use seawall_auth::tls;
use seawall_config::{Section, Setting};
use seawall_limit::{
    AimdConfig, Algorithm, ConcurrencyConfig, CpuShedderConfig, FixedConfig, Gradient2Config, VegasConfig,
};

/// How a server listens and what it bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez`, `/readyz`, `/policies` and `/debug/pprof` are served; port 0 takes a free one.
    pub metrics_listen: SocketAddr,
    /// How long calls in flight may take to end at shutdown.
    pub drain_timeout: Duration,
    /// The deadline of a unary call whose caller names none.
    pub timeout_default: Duration,
    /// The deadline of a streaming call whose caller names none.
    pub stream_timeout_default: Duration,
    /// How callers are known: with it, TLS alone is spoken, and without it none.
    pub tls: Option<tls::Config>,
    /// Who may call; `None` lets everybody.
    pub auth: Option<seawall_auth::Config>,
    /// Whether contracts are told to whoever may ask (gRPC reflection).
    pub reflection: bool,
    /// What the metrics port is for, beside metrics and probes.
    pub admin: Admin,
    /// How long a peer may take for the handshake of TLS, to begin to speak HTTP/2, and to send the
    /// headers of a call.
    pub handshake_timeout: Duration,
    /// How long the message of a unary call may take to come, and its answer to be read.
    pub message_timeout: Duration,
    /// How long a caller may leave unread what a stream has to send.
    pub stream_stall_timeout: Duration,
    /// How long a connection without calls is kept.
    pub connection_idle_timeout: Duration,
    /// How long a connection is used before its peer is told to make another one; up to a tenth more
    /// or less, so that not all do so at once.
    pub connection_age_max: Duration,
    /// How long calls may then still take.
    pub connection_age_grace: Duration,
    /// How often a connection on which nothing comes is probed.
    pub keepalive_interval: Duration,
    /// How long the answer to a probe may take.
    pub keepalive_timeout: Duration,
    /// What a peer must wait between two probes of its own while it is not answered.
    pub ping_interval_min: Duration,
    /// The headers of a call, in bytes.
    pub header_list_bytes_max: u32,
    /// A message, in bytes.
    pub message_bytes_max: usize,
    /// Connections open at a time; further ones wait to be accepted.
    pub connections_max: usize,
    /// Those of one address, of IPv6 of one network (/64); further ones are closed. 0 for no such limit.
    pub connections_per_peer_max: usize,
    /// Calls in flight at a time on one connection.
    pub concurrent_streams_max: u32,
    /// Calls in flight at a time on all of them; `None` for no limit.
    pub concurrency: Option<ConcurrencyConfig>,
    /// Sheds calls while the processor is busy; `None` never does.
    pub cpu: Option<CpuShedderConfig>,
}

/// What `/policies` and the profiles of the metrics port are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admin {
    /// Nothing.
    Off,
    /// To look at.
    Read,
    /// To look at, and to command.
    Write,
}

impl Setting for Admin {
    const KIND: &'static str = "off, read or write";
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "off" => Self::Off,
            "read" => Self::Read,
            "write" => Self::Write,
            _ => return None,
        })
    }
}

/// The section of those who may call. `has_tls` is whether certificates say who they are.
fn auth(section: &mut Section<'_>, has_tls: bool) -> Option<seawall_auth::Config> {
    let auth = seawall_auth::Config::read(section);
    if auth.as_ref().is_some_and(|auth| auth.tokens.is_none()) && !has_tls {
        section.refuse("enabled", "false where neither tokens (auth.issuer) nor certificates (tls.cert) say who calls");
    }
    auth
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

/// Whether one cannot be listened on while the other is.
fn is_taken(one: SocketAddr, other: SocketAddr) -> bool {
    // Any address of IPv6 is also any of IPv4.
    let holds = |one: SocketAddr, other: SocketAddr| {
        one.ip() == other.ip() || one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    one.port() == other.port() && one.port() != 0 && (holds(one, other) || holds(other, one))
}

impl Config {
    /// What takes connections by TLS, if that is spoken. Blocks while it reads files.
    pub(crate) fn acceptor(&self) -> Result<Option<tls::Acceptor>, tls::TlsError> {
        self.tls.as_ref().map(tls::Acceptor::try_new).transpose()
    }

    /// Says what is not as it should be in production.
    fn for_development(&self, section: &mut Section<'_>) {
        if self.reflection {
            section.development_only("reflection", "false, since it tells contracts to whoever can connect");
        }
        if self.admin == Admin::Write {
            section
                .development_only("admin", "off or read, since whoever reaches the metrics port could switch policies");
        }
        for (key, address) in [("listen", self.listen), ("metrics_listen", self.metrics_listen)] {
            if address.ip().is_loopback() {
                section.development_only(key, "an address that others reach, such as 0.0.0.0 and a port");
            }
        }
        if self.tls.is_none() {
            section.beside("tls").development_only("cert", "set, since calls are else read and changed on their way");
        }
        if self.auth.is_none() {
            section.beside("auth").development_only("enabled", "true, since anybody may else call everything");
        }
    }

    /// Reads the section. By default it listens on these ports of the loopback interface.
    pub fn read(section: &mut Section<'_>, port: u16, metrics_port: u16) -> Self {
        let on_loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
        let positive = |timeout: &Duration| !timeout.is_zero();
        // Without a certificate of its own, the section is for what this process calls.
        let tls = tls::Config::read(&mut section.beside("tls")).filter(|tls| tls.cert.is_some());
        let config = Self {
            auth: auth(&mut section.beside("auth"), tls.is_some()),
            tls,
            reflection: section.get(
                "reflection",
                "false",
                "whether the contracts are told to whoever may ask, as grpcurl does; for development",
            ),
            admin: section.get(
                "admin",
                "off",
                "what /policies and /debug/pprof of the metrics port are for: off, read, or write, which is also to command",
            ),
            listen: section.get("listen", &on_loopback(port), "where gRPC is served; port 0 takes a free one"),
            metrics_listen: section.get(
                "metrics_listen",
                &on_loopback(metrics_port),
                "where /metrics, /livez, /readyz, /policies and /debug/pprof are served; port 0 takes a free one",
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
            handshake_timeout: section.checked(
                "handshake_timeout",
                "10s",
                "how long a peer may take for TLS, to begin to speak HTTP/2, and to send the headers of a call",
                "more than 0s",
                positive,
            ),
            message_timeout: section.checked(
                "message_timeout",
                "30s",
                "how long the message of a unary call may take to come, and its answer to be read",
                "more than 0s",
                positive,
            ),
            // Long, because a caller that works on what it has read may well leave the rest where it is.
            stream_stall_timeout: section.checked(
                "stream_stall_timeout",
                "5m",
                "how long a caller may leave unread what a stream has to send",
                "more than 0s",
                positive,
            ),
            connection_idle_timeout: section.checked(
                "connection_idle_timeout",
                "5m",
                "how long a connection without calls is kept",
                "more than 0s",
                positive,
            ),
            connection_age_max: section.checked(
                "connection_age_max",
                "30m",
                "how long a connection is used before its peer is told to make another one",
                "more than 0s",
                positive,
            ),
            connection_age_grace: section.get("connection_age_grace", "1h", "how long calls may then still take"),
            keepalive_interval: section.checked(
                "keepalive_interval",
                "60s",
                "how often a connection on which nothing comes is probed",
                "more than 0s",
                positive,
            ),
            keepalive_timeout: section.checked(
                "keepalive_timeout",
                "20s",
                "how long the answer to a probe may take",
                "more than 0s",
                positive,
            ),
            ping_interval_min: section.get(
                "ping_interval_min",
                "10s",
                "what a peer must wait between two probes of its own while it is not answered",
            ),
            header_list_bytes_max: section.checked(
                "header_list_bytes_max",
                "16384",
                "the headers of a call, in bytes",
                "1024 to 1048576",
                |max| (1_024..=1_048_576).contains(max),
            ),
            message_bytes_max: section.checked(
                "message_bytes_max",
                "4194304",
                "a message, in bytes",
                "1024 to 2147483647",
                |max| (1_024..=2_147_483_647).contains(max),
            ),
            connections_max: section.checked(
                "connections_max",
                "10000",
                "connections open at a time; further ones wait",
                "1 to 1000000",
                |max| (1..=1_000_000).contains(max),
            ),
            // Not on by itself: behind a proxy or a NAT, one address is many callers.
            connections_per_peer_max: section.checked(
                "connections_per_peer_max",
                "0",
                "connections open at a time from one address, further ones are closed; 0 for no limit, as behind a proxy",
                "0 to 1000000",
                |max| (0..=1_000_000).contains(max),
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
        };
        if is_taken(config.metrics_listen, config.listen) {
            section.refuse("metrics_listen", "another address than server.listen, or another port of it");
        }
        config.for_development(section);
        config
    }
}

#[cfg(test)]
mod tests;
