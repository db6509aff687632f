//! The atomics and the lock: the standard library's, or loom's when its model checker runs the tests.

use std::sync::PoisonError;

#[cfg(not(seawall_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(not(seawall_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(seawall_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(seawall_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// Locks. What the lock guards is written whole, so a panic elsewhere leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
