//! All interleavings of who comes, leaves and waits at a limit, tried by loom:
//! `RUSTFLAGS="--cfg seawall_loom" cargo test -p seawall-limit --test loom_concurrency`.
#![cfg(seawall_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use seawall_limit::{Algorithm, ConcurrencyConfig, ConcurrencyLimiter, FixedConfig, Verdict};
use seawall_propagation::Criticality;

/// Threads are switched at most so often where they would not have to be; more finds nothing new here
/// and takes minutes.
const PREEMPTIONS: usize = 3;

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(check);
}

fn limiter(limit: u32) -> Arc<ConcurrencyLimiter> {
    let algorithm = Algorithm::Fixed(FixedConfig { limit });
    Arc::new(ConcurrencyLimiter::try_new(ConcurrencyConfig { algorithm, ..Default::default() }).unwrap())
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_more_calls_are_in_flight_than_may_be_and_none_is_forgotten() {
    model(|| {
        let (limiter, now) = (limiter(1), Instant::now());
        let in_flight = Arc::new(loom::sync::atomic::AtomicU32::new(0));
        let threads = [(); 2].map(|()| {
            let (limiter, in_flight) = (Arc::clone(&limiter), Arc::clone(&in_flight));
            loom::thread::spawn(move || {
                if let Ok(permit) = limiter.try_acquire(now, Criticality::Critical) {
                    assert_eq!(in_flight.fetch_add(1, Ordering::SeqCst), 0);
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            })
        });
        threads.map(|thread| thread.join().unwrap());
        assert_eq!(limiter.snapshot(now).in_flight, 0);
        assert!(limiter.try_acquire(now, Criticality::Sheddable).is_ok());
    });
}

#[test]
fn a_place_that_is_given_back_is_found_by_who_begins_to_wait() {
    model(|| {
        let (limiter, now) = (limiter(1), Instant::now());
        let permit = limiter.try_acquire(now, Criticality::Critical).unwrap();
        let leaving = loom::thread::spawn(move || drop(permit));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        match limiter.acquire(now, Criticality::Critical, None) {
            Verdict::Admitted(permit) => {
                leaving.join().unwrap();
                drop(permit);
            }
            Verdict::Waiting(mut waiter) => {
                let polled = waiter.poll_permit(&Context::from_waker(&waker), now);
                leaving.join().unwrap();
                match polled {
                    Poll::Ready(permit) => drop(permit),
                    Poll::Pending => {
                        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it waits for ever");
                        assert!(waiter.poll_permit(&Context::from_waker(&waker), now).is_ready());
                    }
                }
            }
            Verdict::Refused(shed) => panic!("{shed}"),
        }
        let snapshot = limiter.snapshot(now);
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    });
}

#[test]
fn a_place_that_nobody_waits_for_any_more_is_free() {
    model(|| {
        let (limiter, now) = (limiter(1), Instant::now());
        let permit = limiter.try_acquire(now, Criticality::Critical).unwrap();
        let Verdict::Waiting(waiter) = limiter.acquire(now, Criticality::Critical, None) else { panic!() };
        let Verdict::Waiting(mut next) = limiter.acquire(now, Criticality::Default, None) else { panic!() };
        let leaving = loom::thread::spawn(move || drop(permit));
        let stopping = loom::thread::spawn(move || drop(waiter));
        leaving.join().unwrap();
        stopping.join().unwrap();
        assert!(next.poll_permit(&Context::from_waker(Waker::noop()), now).is_ready(), "it waits for ever");
        let snapshot = limiter.snapshot(now);
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    });
}
