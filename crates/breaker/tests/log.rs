//! What a breaker logs. One test in a process of its own: `tracing` decides once for each line whether
//! anybody listens, and asks only the thread that comes there first, which may be another test's.
#![cfg(not(seawall_loom))]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seawall_breaker::{Breaker, Config, Kind, ThreeStateConfig};
use seawall_classify::Outcome;

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of ten calls a second, of which the first thirty that reach the peer fail.
fn logged(kind: Kind) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        let (mut random, mut now, mut reached) = (fastrand::Rng::with_seed(7), Instant::now(), 0);
        let breaker = Breaker::try_new("user", "GetUser", Config { kind }, now).unwrap().at_endpoint("10.0.0.7:50051");
        for _ in 0..400 {
            if let Ok(permit) = breaker.admit(now, random.f64()) {
                reached += 1;
                let outcome = if reached <= 30 { Outcome::Failure } else { Outcome::Success };
                breaker.record(now, permit, outcome, Duration::ZERO);
            }
            now += Duration::from_millis(100);
        }
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn each_transition_is_one_line_with_the_numbers_that_caused_it() {
    let three = ThreeStateConfig { open_time: Duration::from_secs(1), jitter: 0.0, ..ThreeStateConfig::default() };
    let lines = logged(Kind::ThreeState(three));
    let expected = [
        "WARN breaker opened calls=20 failures=20 slow_calls=0 consecutive_failures=20 openings=1 open_ms=1000",
        "INFO breaker half-open openings=1",
        "WARN breaker opened calls=10 failures=5 slow_calls=0 consecutive_failures=0 openings=2 open_ms=2000",
        "INFO breaker half-open openings=2",
        "WARN breaker opened calls=10 failures=5 slow_calls=0 consecutive_failures=0 openings=3 open_ms=4000",
        "INFO breaker half-open openings=3",
        "INFO breaker closed calls=10 failures=0 slow_calls=0",
    ];
    let without_name = |line: &String| {
        let (_time, rest) = line.split_once("  ").or_else(|| line.split_once(' ')).unwrap();
        rest.replace(" seawall_breaker::decision:", "")
            .replace(" peer=\"user\" method=\"GetUser\" endpoint=\"10.0.0.7:50051\"", "")
            .trim()
            .to_owned()
    };
    assert_eq!(lines.iter().map(without_name).collect::<Vec<_>>(), expected);
    assert!(lines.iter().all(|line| line.contains(" peer=\"user\" method=\"GetUser\" ")), "{lines:#?}");

    let lines = logged(Kind::default());
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("breaker begins to drop calls"), "{}", lines[0]);
    assert!(lines[1].contains("INFO") && lines[1].contains("breaker drops no more calls"), "{}", lines[1]);
}
