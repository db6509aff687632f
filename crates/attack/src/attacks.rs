//! The twelve attacks: what each sends, and what being cut off means for it.

mod bombs;
mod floods;
mod slow;

use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use slow::{endless, silent, unread};

/// The method that is attacked. It is a unary one, of which there is one message in a request.
const METHOD: &str = "/seawall.user.v1.UserService/GetUser";
/// What an attacker claims to have time for.
const FOREVER: (&str, &str) = ("grpc-timeout", "1H");

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Calls that are reset as soon as they are made (CVE-2023-44487)
    RapidReset,
    /// Headers that go on in CONTINUATION frames without end (CVE-2024-27316)
    Continuation,
    /// PING without end (CVE-2019-9512)
    Ping,
    /// SETTINGS without end (CVE-2019-9515)
    Settings,
    /// DATA frames without content, without end (CVE-2019-9518)
    EmptyData,
    /// Small headers that unpack to large ones (CVE-2016-6581)
    HpackBomb,
    /// A small message that decompresses to a large one
    GzipBomb,
    /// The headers of a call, a byte at a time
    SlowHeaders,
    /// The message of a call, a byte at a time
    SlowBody,
    /// Answers that are never read (CVE-2019-9511)
    ZeroWindow,
    /// A thousand connections that say nothing
    Connections,
    /// A message that says that it is larger than any may be
    Oversized,
}

impl Attack {
    /// What it means that an attacker was cut off.
    pub(crate) fn cut_off(self) -> &'static str {
        match self {
            Self::RapidReset | Self::Continuation | Self::Ping | Self::Settings | Self::EmptyData => {
                "connection closed"
            }
            Self::SlowHeaders | Self::Connections => "connection closed",
            Self::HpackBomb | Self::GzipBomb | Self::Oversized => "calls refused",
            Self::SlowBody | Self::ZeroWindow => "calls ended",
        }
    }

    /// How many do it at a time.
    pub(crate) fn attackers(self) -> usize {
        match self {
            // One of them has a thousand connections.
            Self::Connections => 1,
            _ => 8,
        }
    }

    /// Attacks once. Returns when the attacker has been cut off.
    pub(crate) async fn strike(self, address: SocketAddr) -> Result<()> {
        match self {
            Self::RapidReset => floods::rapid_reset(address).await,
            Self::Continuation => floods::continuation(address).await,
            Self::Ping => floods::ping(address).await,
            Self::Settings => floods::settings(address).await,
            Self::EmptyData => floods::empty_data(address).await,
            Self::Connections => floods::connections(address).await,
            Self::HpackBomb => bombs::hpack(address).await,
            Self::GzipBomb => bombs::gzip(address).await,
            Self::Oversized => bombs::oversized(address).await,
            Self::SlowHeaders => slow::headers(address).await,
            Self::SlowBody => slow::body(address).await,
            Self::ZeroWindow => slow::reader(address).await,
        }
    }
}

/// The streams of so many calls of a client.
fn streams(calls: u32) -> impl Iterator<Item = u32> {
    (0..calls).map(stream)
}

/// The stream of the call of this number, from 0.
fn stream(call: u32) -> u32 {
    call * 2 + 1
}
