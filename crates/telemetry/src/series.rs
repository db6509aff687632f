//! What calls are told apart by in metrics, and what all spans of one kind of call have in common.
//!
//! All of it is known when a layer is made, from the contracts: so a call finds its series by one look
//! into a table of its layer, and nothing is made for a call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use opentelemetry::KeyValue;

use crate::encode;
use crate::histogram::Shards;

/// Which instruments a series belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Calls that are served.
    Server,
    /// Calls that are made, with all their attempts.
    Client,
    /// Attempts of calls that are made.
    Attempt,
}

/// Who is called; nobody where calls are served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// As the metrics name it.
    pub(crate) name: Arc<str>,
    /// Where it was asked for.
    pub(crate) address: Arc<str>,
    pub(crate) port: u16,
}

/// A method, on a side of the wire.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) kind: Kind,
    /// `package.Service/Method`, or [`OTHER`].
    pub(crate) method: Box<str>,
    pub(crate) target: Target,
    /// From 0, over all series of the process.
    pub(crate) index: usize,
    pub(crate) shards: Shards,
    /// What all spans of these calls have in common, as it is exported.
    pub(crate) common: Vec<u8>,
}

/// The method of paths that are in no contract, so that nobody can fill the metrics with made-up ones
/// (gRFC A66).
pub(crate) const OTHER: &str = "other";

type Key = (Kind, Target, Box<str>);

/// Every series of the process. They are never forgotten: there are as many as methods are served, and
/// called at a peer.
static ALL: Mutex<Vec<&'static Series>> = Mutex::new(Vec::new());
static BY_KEY: Mutex<Option<HashMap<Key, &'static Series>>> = Mutex::new(None);

/// All that there are, in the order in which they were made.
pub(crate) fn all() -> Vec<&'static Series> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Series {
    /// The one of its key: layers that are made anew go on counting where those before them have stopped.
    fn intern(kind: Kind, target: &Target, method: &str) -> &'static Self {
        let mut by_key = BY_KEY.lock().unwrap_or_else(PoisonError::into_inner);
        let by_key = by_key.get_or_insert_default();
        by_key.entry((kind, target.clone(), method.into())).or_insert_with(|| {
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            let common = encode::common(kind, method, &attributes(kind, target, method));
            let (method, target, index) = (method.into(), target.clone(), all.len());
            let series = Self { kind, method, target, index, shards: Shards::default(), common };
            let series: &'static Self = Box::leak(Box::new(series));
            all.push(series);
            series
        })
    }
}

/// OpenTelemetry's conventions for gRPC.
fn attributes(kind: Kind, target: &Target, method: &str) -> Vec<KeyValue> {
    let mut all = vec![KeyValue::new("rpc.system.name", "grpc"), KeyValue::new("rpc.method", method.to_owned())];
    if kind != Kind::Server {
        all.push(KeyValue::new("server.address", Arc::clone(&target.address)));
        all.push(KeyValue::new("server.port", i64::from(target.port)));
    }
    all
}

/// The series of the methods that a layer knows.
#[derive(Debug, Clone)]
pub(crate) struct Table(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// The keys are paths, `/package.Service/Method`. Nobody outside chooses them.
    by_path: HashMap<Box<str>, &'static Series, RandomState>,
    other: &'static Series,
}

impl Table {
    /// `methods` are named `package.Service/Method`.
    pub(crate) fn new<'a>(kind: Kind, target: &Target, methods: impl IntoIterator<Item = &'a str>) -> Self {
        let known = |method: &'a str| (format!("/{method}").into(), Series::intern(kind, target, method));
        let by_path = methods.into_iter().map(known).collect();
        Self(Arc::new(Known { by_path, other: Series::intern(kind, target, OTHER) }))
    }

    /// The series of calls with this path.
    pub(crate) fn get(&self, path: &str) -> &'static Series {
        self.0.by_path.get(path).copied().unwrap_or(self.0.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_is_made_again_counts_on() {
        let table = || Table::new(Kind::Server, &Target::default(), ["shop.v1.Shop/Buy"]);
        let (one, again) = (table(), table());
        let path = "/shop.v1.Shop/Buy";
        assert!(std::ptr::eq(one.get(path), again.get(path)));
        assert_eq!(&*one.get(path).method, "shop.v1.Shop/Buy");
        for made_up in ["", "/", "shop.v1.Shop/Buy", "/shop.v1.Shop/buy", "/a.B/C"] {
            assert_eq!(&*one.get(made_up).method, OTHER, "{made_up}");
        }
    }
}
