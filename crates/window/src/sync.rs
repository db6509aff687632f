//! The atomics: the standard library's, or loom's when its model checker runs the tests.

#[cfg(not(seawall_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(seawall_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
