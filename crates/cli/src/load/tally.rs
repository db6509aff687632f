//! How calls ended, and how long they took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tonic::{Code, Status};

use crate::call::Trace;

/// Times are kept as microseconds, up to an hour, to three digits.
const MICROS_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Counts while calls are made.
#[derive(Debug)]
pub(super) struct Tally {
    begun: AtomicU64,
    waited: AtomicU64,
    ended: Mutex<Summary>,
}

/// What came of all calls that have ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    /// By code, in the order of gRPC's numbers.
    codes: BTreeMap<i32, Ended>,
    /// How many had to wait because as many were in flight as may be.
    pub(super) waited: u64,
    /// How many were begun and have not ended.
    pub(super) unfinished: u64,
    /// Of the calls that are recorded.
    pub(super) slowest_trace: Option<(Duration, String)>,
}

/// Calls that ended with one code.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) micros: Histogram<u64>,
    /// The first message that came with it.
    pub(super) message: String,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { begun: AtomicU64::new(0), waited: AtomicU64::new(0), ended: Mutex::new(Summary::default()) }
    }

    pub(super) fn began(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waited(&self) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, took: Duration, ended: Result<(), Status>, trace: &Trace) {
        let mut summary = self.lock();
        summary.add(took, &ended);
        if trace.is_recorded() && summary.slowest_trace.as_ref().is_none_or(|(slowest, _)| took > *slowest) {
            summary.slowest_trace = Some((took, trace.id().to_owned()));
        }
    }

    /// As it is now.
    pub(super) fn summary(&self) -> Summary {
        let mut summary = self.lock().clone();
        summary.waited = self.waited.load(Ordering::Relaxed);
        summary.unfinished = self.begun.load(Ordering::Relaxed).saturating_sub(summary.calls());
        summary
    }

    fn lock(&self) -> MutexGuard<'_, Summary> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Summary {
    fn add(&mut self, took: Duration, ended: &Result<(), Status>) {
        let (code, message) = match ended {
            Ok(()) => (Code::Ok, ""),
            Err(status) => (status.code(), status.message()),
        };
        let of_code = self.codes.entry(code as i32).or_insert_with(|| Ended {
            micros: Histogram::new_with_max(MICROS_MAX, DIGITS).expect("the bounds are good"),
            message: message.to_owned(),
        });
        of_code.micros.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// The codes, with what ended so.
    pub(super) fn codes(&self) -> impl Iterator<Item = (Code, &Ended)> {
        self.codes.iter().map(|(code, ended)| (Code::from(*code), ended))
    }

    /// Calls that have ended.
    pub(super) fn calls(&self) -> u64 {
        self.codes.values().map(|ended| ended.micros.len()).sum()
    }

    pub(super) fn succeeded(&self) -> u64 {
        self.codes.get(&(Code::Ok as i32)).map_or(0, |ended| ended.micros.len())
    }
}

#[cfg(test)]
impl Summary {
    /// Calls that took so many microseconds and ended well.
    pub(super) fn of(micros: impl IntoIterator<Item = u64>) -> Self {
        let mut summary = Self::default();
        micros.into_iter().for_each(|micros| summary.add(Duration::from_micros(micros), &Ok(())));
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_codes_with_the_first_message() {
        let tally = Tally::new();
        let trace = Trace::new(true);
        (0..4).for_each(|_| tally.began());
        tally.ended(Duration::from_millis(1), Ok(()), &trace);
        tally.ended(Duration::from_millis(9), Err(Status::unavailable("gone")), &trace);
        tally.ended(Duration::from_millis(2), Err(Status::unavailable("away")), &Trace::new(false));
        let summary = tally.summary();
        assert_eq!((summary.calls(), summary.succeeded(), summary.unfinished), (3, 1, 1));
        let failed: Vec<_> = summary.codes().map(|(code, ended)| (code, ended.micros.len(), &*ended.message)).collect();
        assert_eq!(failed, [(Code::Ok, 1, ""), (Code::Unavailable, 2, "gone")]);
        assert_eq!(summary.slowest_trace, Some((Duration::from_millis(9), trace.id().to_owned())));
    }
}
