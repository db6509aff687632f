//! The settings.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use seawall_config::{Section, Setting};

use crate::connect::{Connect, Tcp};

/// How a peer is reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is, such as `127.0.0.1:50051`.
    pub authority: Authority,
    /// The deadline of a call that neither the caller nor the call being served gives one.
    pub timeout: Duration,
    /// How much less than what is left the peer is told, so that its answer arrives in time.
    pub deadline_margin: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How often a connection with calls on it is probed.
    pub keepalive_interval: Duration,
    /// How long the answer to a probe may take.
    pub keepalive_timeout: Duration,
    /// The network. TCP unless it is replaced in code.
    pub connector: Arc<dyn Connect>,
}

/// An address as a setting.
struct Address(Authority);

impl Setting for Address {
    const KIND: &'static str = "a URL such as http://127.0.0.1:50051";
    fn parse(text: &str) -> Option<Self> {
        let uri = text.trim().parse::<Uri>().ok()?.into_parts();
        let has_path = uri.path_and_query.is_some_and(|path| path != "/");
        uri.authority.filter(|_| uri.scheme == Some(Scheme::HTTP) && !has_path).map(Self)
    }
}

impl Config {
    /// Reads the section, which by convention has the name of the peer.
    pub fn read(section: &mut Section<'_>, default_address: &'static str) -> Self {
        let positive = |timeout: &Duration| !timeout.is_zero();
        let mut timeout = |key, default, help| section.checked(key, default, help, "more than 0s", positive);
        let (call, connect) = (
            timeout("timeout", "5s", "the deadline of a call that nothing else gives one"),
            timeout("connect_timeout", "2s", "how long connecting may take"),
        );
        let (interval, answer) = (
            timeout("keepalive_interval", "30s", "how often a connection with calls on it is probed"),
            timeout("keepalive_timeout", "10s", "how long the answer to a probe may take"),
        );
        Self {
            authority: section.get::<Address>("address", default_address, "where the service is").0,
            timeout: call,
            deadline_margin: section.get(
                "deadline_margin",
                "5ms",
                "how much less than what is left the peer is told, so that its answer arrives in time",
            ),
            connect_timeout: connect,
            keepalive_interval: interval,
            keepalive_timeout: answer,
            connector: Arc::new(Tcp),
        }
    }
}
