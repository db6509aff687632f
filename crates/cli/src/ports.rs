//! Which ports are used: the preferred ones, or the next free ones.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

/// How far above a taken port a free one is looked for.
const TRIES_MAX: u16 = 200;

/// Hands out ports on 127.0.0.1, none of them twice.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Handed out already, or preferred by somebody else.
    reserved: BTreeSet<u16>,
    is_free: fn(u16) -> bool,
}

impl Ports {
    /// `preferred` is everything that will be asked for, so that nobody who must move takes it.
    pub(crate) fn new(preferred: impl IntoIterator<Item = u16>) -> Self {
        Self { reserved: preferred.into_iter().collect(), is_free }
    }

    /// The address with the preferred port, or with the next one that is free.
    pub(crate) fn pick(&mut self, preferred: u16) -> Result<SocketAddr> {
        if (self.is_free)(preferred) {
            self.reserved.insert(preferred);
            return Ok(local(preferred));
        }
        for port in (preferred..=u16::MAX).skip(1).take(TRIES_MAX.into()) {
            if !self.reserved.contains(&port) && (self.is_free)(port) {
                self.reserved.insert(port);
                return Ok(local(port));
            }
        }
        bail!(
            "no free port from {preferred} to {}; end something that listens there",
            preferred.saturating_add(TRIES_MAX)
        )
    }
}

/// The address on 127.0.0.1.
pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_moves_up_past_what_others_prefer() {
        let mut ports = Ports { reserved: [50051, 50052].into(), is_free: |port| port != 50051 };
        assert_eq!(ports.pick(50051).unwrap(), local(50053));
        assert_eq!(ports.pick(50052).unwrap(), local(50052));
    }

    #[test]
    fn a_port_is_not_handed_out_twice() {
        let mut ports = Ports { reserved: BTreeSet::new(), is_free: |port| port % 2 == 0 };
        assert_eq!(ports.pick(1001).unwrap(), local(1002));
        assert_eq!(ports.pick(1001).unwrap(), local(1004));
    }

    #[test]
    fn the_search_ends() {
        let mut ports = Ports { reserved: BTreeSet::new(), is_free: |_| false };
        assert!(ports.pick(65_500).unwrap_err().to_string().contains("65500"));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_ne!(Ports::new([]).pick(port).unwrap().port(), port);
    }
}
