//! What calls are told apart by, taken from a request.

use std::hash::Hasher as _;
use std::net::IpAddr;

use http::{HeaderName, Request};
use seawall_propagation::{Caller, peer};
use sha2::{Digest as _, Sha256};

use super::{Buckets, Key, RateLimiter};

/// The key of a call at one limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallKey {
    /// By which this process knows it, under a secret of its own.
    pub(crate) hash: u64,
    /// By which all replicas know it; zero where nothing is shared.
    pub(crate) digest: [u8; 16],
}

/// A [`Key`] that is ready to be looked up.
#[derive(Debug)]
pub(super) enum Part {
    Method,
    Caller,
    Metadata(HeaderName),
}

/// The parts of a checked configuration.
pub(super) fn parts(keys: &[Key]) -> Vec<Part> {
    let part = |key: &Key| match key {
        Key::Method => Some(Part::Method),
        Key::Caller => Some(Part::Caller),
        Key::Metadata(name) => HeaderName::try_from(name).ok().map(Part::Metadata),
    };
    keys.iter().filter_map(part).collect()
}

impl RateLimiter {
    /// The key of a call. It allocates nothing.
    pub fn key<B>(&self, request: &Request<B>) -> CallKey {
        let Buckets::Keyed(keyed) = &self.buckets else { return CallKey { hash: 1, digest: [0; 16] } };
        let mut digest = [0; 16];
        if self.is_shared() {
            let mut sha = Sha256::new();
            feed(&self.parts, request, |bytes| sha.update(bytes));
            digest.copy_from_slice(&sha.finalize()[..16]);
        }
        let mut hasher = keyed.hasher();
        feed(&self.parts, request, |bytes| hasher.write(bytes));
        CallKey { hash: hasher.finish().max(1), digest }
    }
}

/// Each part says how long it is, or is of one length, so that no two keys run into each other.
fn feed<B>(parts: &[Part], request: &Request<B>, mut sink: impl FnMut(&[u8])) {
    let mut text = |bytes: Option<&[u8]>| {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        sink(&length.to_be_bytes());
        sink(bytes.unwrap_or_default());
    };
    for part in parts {
        match part {
            Part::Method => text(Some(request.uri().path().as_bytes())),
            Part::Caller => match request.extensions().get::<Caller>() {
                Some(caller) => text(Some(caller.as_bytes())),
                None => text(Some(&address().to_be_bytes())),
            },
            Part::Metadata(name) => text(request.headers().get(name).map(http::HeaderValue::as_bytes)),
        }
    }
}

/// The address without what one caller can choose of it.
fn address() -> u128 {
    const NETWORK_OF_A_CALLER: u128 = !0 << 64;
    match peer().map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V4(ip)) => u128::from(ip.to_ipv6_mapped()),
        Some(IpAddr::V6(ip)) => u128::from(ip) & NETWORK_OF_A_CALLER,
        None => 0,
    }
}
