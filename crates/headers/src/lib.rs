//! Which of the headers that Seawall reads a request has, found by one look at their names.
//!
//! The layers of a stack look for a dozen headers, of which most requests have two or three. To look for
//! one that is not there costs as much as for one that is: its name is hashed. So the outermost layer looks
//! once over all names, and makes what it has seen [`Present`] while it hands the request on; the others ask
//! [`may_have`] first. A layer that stands alone, or is called later, is told that any header may be there,
//! and looks for itself.
//!
//! ```
//! use http::HeaderMap;
//! use seawall_headers::{Present, TIMEOUT, TRACE, may_have};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("grpc-timeout", "1S".parse().unwrap());
//! Present::in_these(&headers).while_handed_on(|| assert!(may_have(TIMEOUT) && !may_have(TRACE)));
//! assert!(may_have(TRACE));
//! ```

use std::cell::Cell;
use std::ops::BitOr;

use http::HeaderMap;

/// Some of the headers that Seawall reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known(u8);

/// `grpc-timeout`.
pub const TIMEOUT: Known = Known(1);
/// `traceparent`, `tracestate` or `baggage`.
pub const TRACE: Known = Known(1 << 1);
/// `grpc-previous-rpc-attempts`, or what Seawall adds to that: headers that begin with `seawall-`.
pub const PROPAGATED: Known = Known(1 << 2);
/// `authorization`, `proxy-authorization` or `cookie`.
pub const SECRET: Known = Known(1 << 3);
/// Any whose name ends with `-bin`.
pub const BINARY: Known = Known(1 << 4);

impl BitOr for Known {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

thread_local! {
    static PRESENT: Cell<Present> = const { Cell::new(Present::ANY) };
}

/// Those that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present(Known);

impl Present {
    const ANY: Self = Self(Known(u8::MAX));

    /// Looks at all names once.
    pub fn in_these(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(Known(0), |present, name| present | known(name.as_str())))
    }

    /// Whether one of these is there.
    pub fn has(self, known: Known) -> bool {
        self.0.0 & known.0 != 0
    }

    /// Calls the service to which the request with these headers goes. It must not be called with others
    /// meanwhile.
    pub fn while_handed_on<T>(self, call: impl FnOnce() -> T) -> T {
        let before = Before(PRESENT.replace(self));
        let called = call();
        drop(before);
        called
    }
}

/// Puts it back, also after a panic.
struct Before(Present);

impl Drop for Before {
    fn drop(&mut self) {
        PRESENT.set(self.0);
    }
}

fn known(name: &str) -> Known {
    match name {
        "grpc-timeout" => TIMEOUT,
        "traceparent" | "tracestate" | "baggage" => TRACE,
        "grpc-previous-rpc-attempts" => PROPAGATED,
        "authorization" | "proxy-authorization" | "cookie" => SECRET,
        _ if name.ends_with("-bin") => BINARY,
        _ if name.starts_with("seawall-") => PROPAGATED,
        _ => Known(0),
    }
}

/// Whether the request that is handed on may have one of these; if not, it has none.
pub fn may_have(known: Known) -> bool {
    PRESENT.get().has(known)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn present(names: &[&'static str]) -> Present {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(*name, "x".parse().unwrap());
        }
        Present::in_these(&headers)
    }

    #[test]
    fn each_is_seen_and_no_other() {
        let all = [TIMEOUT, TRACE, PROPAGATED, SECRET, BINARY];
        for (name, known) in [
            ("grpc-timeout", TIMEOUT),
            ("traceparent", TRACE),
            ("tracestate", TRACE),
            ("baggage", TRACE),
            ("grpc-previous-rpc-attempts", PROPAGATED),
            ("seawall-criticality", PROPAGATED),
            ("seawall-retried", PROPAGATED),
            ("authorization", SECRET),
            ("proxy-authorization", SECRET),
            ("cookie", SECRET),
            ("key-bin", BINARY),
        ] {
            let present = present(&["content-type", name, "te", "user-agent"]);
            for other in all {
                assert_eq!(present.has(other), other == known, "{name}");
            }
        }
        assert!(!all.iter().any(|known| present(&["content-type", "te", "user-agent"]).has(*known)));
    }

    #[test]
    fn it_holds_while_the_request_is_handed_on_alone() {
        let none = present(&["te"]);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            none.while_handed_on(|| {
                assert!(!may_have(BINARY));
                none.while_handed_on(|| panic!("in the call"));
            });
        }));
        assert!(caught.is_err());
        assert!(may_have(BINARY), "it was not put back");
    }
}
