//! The settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use seawall_config::Section;

/// How a server listens and what it bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` are served; port 0 takes a free one.
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
                "where /metrics, /livez and /readyz are served; port 0 takes a free one",
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
        }
    }
}
