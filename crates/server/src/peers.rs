//! How many connections one peer may have at a time. Where connections come from is wrapped, so that one
//! too many is closed before anything is done for it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::Listener;

/// The bits of an IPv6 address that its holder does not choose.
const NETWORK_BITS: u128 = !0 << 64;

/// The open connections of each peer: as many entries as there are connections, at most. Clones share them.
#[derive(Debug, Clone)]
struct Peers {
    /// 0 is no limit.
    max: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Peers {
    /// A place for a connection of a peer, if it has one left.
    fn enter(&self, peer: SocketAddr) -> Option<Place> {
        // A peer on a Unix socket has no port, and no address of its own.
        if self.max == 0 || peer.port() == 0 {
            return Some(Place(None));
        }
        let who = who(peer.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = open.entry(who).or_default();
        if *connections >= self.max {
            return None;
        }
        *connections += 1;
        Some(Place(Some((self.clone(), who))))
    }

    fn leave(&self, who: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = open.get_mut(&who) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&who);
            }
        }
    }
}

/// Who is taken for one peer: an address of IPv4, and of IPv6 a network, any address of which its holder
/// may take.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_BITS).into(),
        address => address,
    }
}

/// A connection's place, until this is dropped; without a limit, nothing.
#[derive(Debug)]
struct Place(Option<(Peers, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((peers, who)) = &self.0 {
            peers.leave(*who);
        }
    }
}

/// Connections of a listener, those apart of which a peer has too many.
#[derive(Debug)]
pub(crate) struct PerPeer<L> {
    listener: L,
    peers: Peers,
}

impl<L> PerPeer<L> {
    /// `max` is for each peer; 0 is no limit.
    pub(crate) fn new(listener: L, max: usize) -> Self {
        Self { listener, peers: Peers { max, open: Arc::default() } }
    }
}

impl<L: Listener> Listener for PerPeer<L> {
    type Io = Placed<L::Io>;

    async fn accept(&mut self) -> io::Result<(Self::Io, SocketAddr)> {
        loop {
            let (io, peer) = self.listener.accept().await?;
            if let Some(place) = self.peers.enter(peer) {
                return Ok((Placed { io, _place: place }, peer));
            }
            seawall_provenance::counted("connection.refused", &[]);
            tracing::debug!(%peer, max = self.peers.max, "the peer has too many connections");
        }
    }
}

/// A connection with its place.
#[derive(Debug)]
pub(crate) struct Placed<I> {
    io: I,
    _place: Place,
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peers(max: usize) -> Peers {
        Peers { max, open: Arc::default() }
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn a_peer_is_an_address_of_ipv4_and_a_network_of_ipv6() {
        let peers = peers(1);
        let _first = peers.enter(peer("192.0.2.1")).unwrap();
        assert!(peers.enter(peer("192.0.2.1")).is_none());
        assert!(peers.enter(peer("::ffff:192.0.2.1")).is_none(), "the same on a socket of both kinds");
        assert!(peers.enter(peer("192.0.2.2")).is_some());
        let _second = peers.enter(peer("2001:db8:0:1::1")).unwrap();
        assert!(peers.enter(peer("2001:db8:0:1:ffff::2")).is_none());
        assert!(peers.enter(peer("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn peers_on_a_unix_socket_are_not_told_apart_and_have_no_limit() {
        let peers = peers(1);
        let on_unix = SocketAddr::from(([127, 0, 0, 1], 0));
        let _places: Vec<Place> = (0..9).map(|_| peers.enter(on_unix).unwrap()).collect();
    }

    proptest! {
        #[test]
        fn no_peer_has_more_than_it_may_and_nothing_is_kept_of_who_has_left(
            max in 0usize..4,
            events in prop::collection::vec((0u8..3, any::<bool>()), 0..200),
        ) {
            let peers = peers(max);
            let mut places: [Vec<Place>; 3] = Default::default();
            for (which, enters) in events {
                let here = &mut places[usize::from(which)];
                if !enters {
                    here.pop();
                    continue;
                }
                let place = peers.enter(SocketAddr::from(([192, 0, 2, which], 1)));
                prop_assert_eq!(place.is_some(), max == 0 || here.len() < max);
                here.extend(place);
            }
            drop(places);
            prop_assert!(peers.open.lock().unwrap().is_empty());
        }
    }
}
