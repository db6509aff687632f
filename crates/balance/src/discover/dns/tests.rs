//! When names are looked up, and what becomes of the answers, on a clock that is held.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;

/// Answers what it was told to, at last for ever the same, and notes when it was asked.
#[derive(Debug, Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Option<&'static [u8]>>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Script {
    fn of(answers: &[Option<&'static [u8]>]) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Self::default() }
    }

    fn gaps(&self) -> Vec<Duration> {
        self.asked.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Resolve for Script {
    async fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(host, "users.shop");
        self.asked.lock().unwrap().push(Instant::now());
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
        };
        match answer {
            Some(Some(last)) => Ok(last.iter().map(|n| SocketAddr::from(([10, 0, 0, *n], port))).collect()),
            Some(None) => Err(io::Error::other("SERVFAIL")),
            None => std::future::pending().await,
        }
    }
}

fn dns(script: &Script) -> Dns<Script> {
    Dns::try_with_resolver(Authority::from_static("users.shop:50051"), DnsConfig::default(), script.clone()).unwrap()
}

fn last(addresses: Option<Vec<Address>>) -> Vec<String> {
    addresses.unwrap().iter().map(|address| address.to_string().replace(":50051", "").replace("10.0.0.", "")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_and_the_same_again_is_not() {
    let script = Script::of(&[Some(&[2, 1, 2]), Some(&[1, 2]), Some(&[1]), Some(&[1])]);
    let mut dns = dns(&script);
    let first = dns.next().await.unwrap();
    assert_eq!(first[0].authority, "users.shop:50051");
    assert_eq!(last(Some(first)), ["1", "2"]);
    assert_eq!(last(dns.next().await), ["1"]);
    let gaps = script.gaps();
    assert_eq!(gaps.len(), 2);
    assert!(gaps.iter().all(|gap| (27.0..=33.1).contains(&gap.as_secs_f64())), "{gaps:?}");
    assert_ne!(gaps[0], gaps[1], "without jitter");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_keeps_what_is_known_and_comes_sooner() {
    let script = Script::of(&[Some(&[1]), None, Some(&[]), None, Some(&[1]), Some(&[2])]);
    let mut dns = dns(&script);
    assert_eq!(last(dns.next().await), ["1"]);
    // Over three failures and the same answer as before, to the next that differs.
    assert_eq!(last(dns.next().await), ["2"]);
    let gaps: Vec<f64> = script.gaps().iter().map(Duration::as_secs_f64).collect();
    let expected = [27.0..=33.1, 1.0..=1.2, 1.8..=2.3, 3.6..=4.5, 27.0..=33.1];
    assert_eq!(gaps.len(), expected.len());
    for (gap, expected) in gaps.iter().zip(expected) {
        assert!(expected.contains(gap), "{gap} is not in {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_never_found_is_an_empty_set_until_it_is() {
    let mut dns = dns(&Script::of(&[None, None, Some(&[1])]));
    assert!(last(dns.next().await).is_empty());
    assert_eq!(last(dns.next().await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_is_given_up() {
    let mut dns = dns(&Script::default());
    let before = Instant::now();
    assert!(last(dns.next().await).is_empty());
    assert!((5.0..5.1).contains(&before.elapsed().as_secs_f64()));
}

#[tokio::test(start_paused = true)]
async fn asked_to_refresh_it_looks_soon_and_never_more_often_than_the_minimum() {
    let script = Script::of(&[Some(&[1]), Some(&[1])]);
    let mut dns = dns(&script);
    assert_eq!(last(dns.next().await), ["1"]);
    for _ in 0..1_000 {
        dns.refresh();
        assert!(timeout(Duration::from_millis(10), dns.next()).await.is_err());
    }
    let gaps = script.gaps();
    assert!((7..=10).contains(&gaps.len()), "{} lookups in 10 s", gaps.len());
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_secs(1)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_loses_nothing() {
    let mut dns = dns(&Script::of(&[Some(&[1]), Some(&[2])]));
    assert_eq!(last(dns.next().await), ["1"]);
    let before = Instant::now();
    let mut found = None;
    while found.is_none() {
        found = timeout(Duration::from_millis(700), dns.next()).await.ok();
    }
    assert_eq!(last(found.unwrap()), ["2"]);
    assert!(before.elapsed() < Duration::from_secs(34), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lookup_goes_on_while_it_is_waited_for_in_turns() {
    let script = Script::default();
    let mut dns = dns(&script);
    for _ in 0..400 {
        assert!(timeout(Duration::from_millis(10), dns.next()).await.is_err());
    }
    assert_eq!(script.asked.lock().unwrap().len(), 1);
}

#[test]
fn settings_that_are_not_allowed_are_named() {
    let config = DnsConfig { interval: Duration::ZERO, lookup_timeout: Duration::ZERO, ..DnsConfig::default() };
    let error = Dns::try_new(Authority::from_static("users.shop"), config).unwrap_err();
    let expected = [
        "authority = \"users.shop\": must have a port",
        "dns.lookup_timeout = 0ns: must be more than 0s and at most 86400s",
        "dns.interval = 0ns: must be dns.interval_min to 86400s",
    ];
    assert_eq!(error.mistakes().collect::<Vec<_>>(), expected);
}

/// Whoever waits for endpoints goes about other things too, most of all while they fail: a slow resolver
/// is to be heard all the same.
#[tokio::test(start_paused = true)]
async fn a_lookup_that_takes_longer_than_anybody_waits_for_it_is_heard_in_the_end() {
    struct Slow;
    impl Resolve for Slow {
        async fn resolve(&mut self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(vec![SocketAddr::from(([10, 0, 0, 7], port))])
        }
    }
    let mut dns =
        Dns::try_with_resolver(Authority::from_static("users.shop:50051"), DnsConfig::default(), Slow).unwrap();
    let begun = Instant::now();
    let found = loop {
        if let Ok(found) = timeout(Duration::from_secs(2), dns.next()).await {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "never heard");
        dns.refresh();
    };
    assert_eq!((last(found), begun.elapsed().as_secs()), (vec!["7".to_owned()], 3));
}
