//! What goes wrong, and when: drawn from the seed before anything starts.

use std::time::Duration;

use fastrand::Rng;
use tonic::Code;

use crate::faulty::Mood;
use crate::shop::{HOSTS, USERS};

/// Calls go well until here.
pub(crate) const FAULTS_BEGIN: Duration = Duration::from_secs(2);
/// From here on nothing is wrong any more.
pub(crate) const FAULTS_END: Duration = Duration::from_secs(12);
/// How long after that calls may still fail. The slowest are the adaptive breakers, two in a row: each
/// lets go within its window of 10 seconds and a little, and that of the callers sees the failures of the
/// order service until the order service's own lets go. Keepalives find connections that lead nowhere
/// within 3 seconds.
pub(crate) const RECOVERY: Duration = Duration::from_secs(23);
/// How long calls are then watched, none of which may fail.
pub(crate) const WATCHED: Duration = Duration::from_secs(3);

/// A line between two hosts.
pub(crate) type Line = (&'static str, &'static str);

/// Over which lines calls go.
const LINES: [Line; 4] = [("shop", "order"), ("order", USERS[0]), ("order", USERS[1]), ("order", USERS[2])];

/// One thing that is done to the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The process is gone from one moment to the next, as by `kill -9`.
    Crash(&'static str),
    /// The process is told to drain and to end.
    Drain(&'static str),
    /// The process is started again.
    Start(&'static str),
    /// Nothing comes through, and all of it comes late: TCP sends again what was lost.
    Hold(Line),
    /// The end of it.
    Release(Line),
    /// All connections on the line lead nowhere for good, as when a firewall has forgotten them.
    Cut(Line),
    /// New connections are possible again.
    Mend(Line),
    /// Messages take this long at least, in each direction.
    Delay(Line, Duration),
    /// How the host answers from now on.
    Mood(&'static str, Mood),
    /// How all user services answer from now on, as after a bad release.
    MoodOfAll(Mood),
    /// Whether the disks are slow.
    SlowDisks(bool),
}

/// Actions by when they happen, in order.
pub(crate) type Plan = Vec<(Duration, Action)>;

/// The usual time that a message takes at most. The least is the simulator's step.
pub(crate) const LATENCY_MAX: Duration = Duration::from_millis(3);

/// Draws a plan: 2 to 6 troubles, which may overlap, but only one at a time for one host or line.
pub(crate) fn draw(rng: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let mut taken: Vec<(String, Duration, Duration)> = Vec::new();
    for _ in 0..rng.u32(2..=6) {
        let begin = between(rng, FAULTS_BEGIN, FAULTS_END - Duration::from_secs(1));
        let end = (begin + between(rng, Duration::from_millis(200), Duration::from_secs(6))).min(FAULTS_END);
        let (place, first, last) = trouble(rng);
        if taken.iter().any(|(other, from, to)| *other == place && begin <= *to && *from <= end) {
            continue;
        }
        taken.push((place, begin, end));
        plan.push((begin, first));
        plan.push((end, last));
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

/// Where it is, how it begins and how it ends.
fn trouble(rng: &mut Rng) -> (String, Action, Action) {
    let host = HOSTS[rng.usize(..HOSTS.len())];
    let user = USERS[rng.usize(..USERS.len())];
    let line = LINES[rng.usize(..LINES.len())];
    let on_line = format!("{}-{}", line.0, line.1);
    match rng.u32(..10) {
        0 | 1 => (host.to_owned(), Action::Crash(host), Action::Start(host)),
        2 => (host.to_owned(), Action::Drain(host), Action::Start(host)),
        3 => (on_line, Action::Hold(line), Action::Release(line)),
        4 => (on_line, Action::Cut(line), Action::Mend(line)),
        5 => {
            let delay = between(rng, Duration::from_millis(10), Duration::from_millis(400));
            (on_line, Action::Delay(line, delay), Action::Delay(line, LATENCY_MAX))
        }
        6 | 7 => {
            let moods = [Mood::Slow, Mood::Silent, Mood::Failing(Code::Unavailable), Mood::Failing(Code::Internal)];
            (
                format!("mood {user}"),
                Action::Mood(user, moods[rng.usize(..moods.len())]),
                Action::Mood(user, Mood::Well),
            )
        }
        8 => ("mood".to_owned(), Action::MoodOfAll(Mood::Failing(Code::Unavailable)), Action::MoodOfAll(Mood::Well)),
        _ => ("disks".to_owned(), Action::SlowDisks(true), Action::SlowDisks(false)),
    }
}

fn between(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
    least + (most - least).mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_ends() {
        for seed in 0..1_000 {
            let mut open: Vec<Action> = Vec::new();
            for (at, action) in draw(&mut Rng::with_seed(seed)) {
                assert!((FAULTS_BEGIN..=FAULTS_END).contains(&at), "{seed}: {action:?} at {at:?}");
                let ends = |begun: &Action| match (*begun, action) {
                    (Action::Crash(a) | Action::Drain(a), Action::Start(b)) => a == b,
                    (Action::Hold(a), Action::Release(b)) | (Action::Cut(a), Action::Mend(b)) => a == b,
                    (Action::Delay(a, _), Action::Delay(b, LATENCY_MAX)) => a == b,
                    (Action::Mood(a, _), Action::Mood(b, Mood::Well)) => a == b,
                    (Action::MoodOfAll(_), Action::MoodOfAll(Mood::Well))
                    | (Action::SlowDisks(true), Action::SlowDisks(false)) => true,
                    _ => false,
                };
                match open.iter().position(ends) {
                    Some(begun) => drop(open.remove(begun)),
                    None => open.push(action),
                }
            }
            assert_eq!(open, [], "{seed}");
        }
    }
}
