//! Where a call comes from, which does not travel either.

use std::cell::Cell;
use std::net::SocketAddr;

thread_local! {
    static PEER: Cell<Option<SocketAddr>> = const { Cell::new(None) };
}

/// The address at the other end of the connection of the call that is served: that of a proxy, if there is
/// one between. Where connections have no addresses, such as Unix sockets, it is 127.0.0.1:0. `None` outside
/// of a call.
pub fn peer() -> Option<SocketAddr> {
    PEER.get()
}

/// Runs `f` for a call from there. What was before is so again afterwards, also after a panic.
pub fn with_peer<T>(peer: SocketAddr, f: impl FnOnce() -> T) -> T {
    let _before = Before(PEER.replace(Some(peer)));
    f()
}

struct Before(Option<SocketAddr>);

impl Drop for Before {
    fn drop(&mut self) {
        PEER.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_within_a_call_alone() {
        let (one, other) = ("10.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        with_peer(one, || {
            let panicked = std::panic::catch_unwind(|| with_peer(other, || panic!("{:?}", peer())));
            assert_eq!(*panicked.unwrap_err().downcast::<String>().unwrap(), "Some([::1]:2)");
            assert_eq!(peer(), Some(one));
        });
        assert_eq!(peer(), None);
    }
}
