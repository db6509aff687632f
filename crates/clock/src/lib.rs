//! The time, read once for all that happens in one poll of a call.
//!
//! A call passes a dozen layers, which are polled one right after the other, and each of which wants to know the
//! time: two dozen readings of the clock, which take longer than most of the layers do. Whoever stands
//! around such layers [`hold`]s the clock while they are polled, and they ask [`now`].
//!
//! What is held must be short: it is not for what runs the code of an application, after which the time
//! would be that of before. Where nothing is held, [`now`] is the clock of tokio, which tests can pause.
//!
//! ```
//! use seawall_clock::{hold, now};
//!
//! let (first, second) = hold(|| (now(), now()));
//! assert_eq!(first, second);
//! assert!(now() >= second);
//! ```
//!
//! # Structure
//! This file.

use std::cell::Cell;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
enum Clock {
    Runs,
    /// It is held, and nobody has asked yet.
    Unread,
    /// It is held at this time.
    Read(Instant),
}

thread_local! {
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::Runs) };
}

/// Lets go of the clock, also if there is a panic.
struct Held {
    before: Clock,
}

impl Drop for Held {
    fn drop(&mut self) {
        CLOCK.set(match self.before {
            Clock::Runs => Clock::Runs,
            // Time has passed since then.
            Clock::Unread | Clock::Read(_) => Clock::Unread,
        });
    }
}

/// Calls `f`, in which the time stays as it is when it is first asked for. Within another one it begins anew.
pub fn hold<T>(f: impl FnOnce() -> T) -> T {
    let _held = Held { before: CLOCK.replace(Clock::Unread) };
    f()
}

/// The time: that of tokio's clock, or the one at which it is held.
pub fn now() -> Instant {
    match CLOCK.get() {
        Clock::Runs => Instant::now(),
        Clock::Read(now) => now,
        Clock::Unread => {
            let now = Instant::now();
            CLOCK.set(Clock::Read(now));
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Returns once the clock has moved on.
    fn later() -> Instant {
        let before = Instant::now();
        loop {
            let now = Instant::now();
            if now > before {
                return now;
            }
        }
    }

    #[test]
    fn it_stands_still_while_it_is_held_and_no_longer() {
        let held = hold(|| {
            let held = now();
            later();
            assert_eq!(now(), held);
            held
        });
        later();
        assert!(now() > held);
        later();
        hold(|| assert!(now() > held, "it is read again by whoever holds it next"));
    }

    #[test]
    fn it_is_read_anew_within_and_after_what_is_held_within() {
        hold(|| {
            let outer = now();
            later();
            let inner = hold(now);
            assert!(inner > outer);
            later();
            assert!(now() > inner);
        });
    }

    #[test]
    fn a_panic_lets_go_of_it() {
        let panicked = catch_unwind(AssertUnwindSafe(|| hold(|| std::panic::resume_unwind(Box::new(now())))));
        let held = *panicked.unwrap_err().downcast::<Instant>().unwrap();
        later();
        assert!(now() > held);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_the_clock_that_tests_pause() {
        let before = now();
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        assert_eq!((now() - before).as_secs(), 5);
    }
}
