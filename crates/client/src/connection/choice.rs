//! Which connection of an endpoint a call goes by, given how each of them is.
//!
//! The first one with room, so that those at the end fall idle when there is less to do. Another one is
//! made only when all that there are have as many calls as the peer takes, one at a time, and not while
//! one cannot be made: the peer may have no room for connections either.

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not made.
    Idle,
    /// It is being made.
    Connecting,
    /// Calls go by it.
    Ready {
        /// Whether the peer takes another one.
        has_room: bool,
    },
    /// It has ended, and is about to be made again.
    Lost,
    /// It cannot be made.
    Failed,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It goes by this one.
    Call(usize),
    /// It has this one made, and waits.
    Open(usize),
    /// It waits for a connection, or for room on one.
    Wait,
    /// There is no way; this one says why.
    Fail(usize),
}

pub(super) fn choose(lines: impl IntoIterator<Item = Standing>) -> Choice {
    let (mut is_ready, mut is_coming, mut idle, mut failed) = (false, false, None, None);
    for (index, line) in lines.into_iter().enumerate() {
        match line {
            Standing::Ready { has_room: true } => return Choice::Call(index),
            Standing::Ready { has_room: false } => is_ready = true,
            Standing::Connecting | Standing::Lost => is_coming = true,
            Standing::Idle => idle = idle.or(Some(index)),
            Standing::Failed => failed = failed.or(Some(index)),
        }
    }
    match (is_coming, failed, idle) {
        (false, None, Some(index)) => Choice::Open(index),
        (false, Some(index), _) if !is_ready => Choice::Fail(index),
        _ => Choice::Wait,
    }
}

/// Whether a call had better come here, as far as is known, than go to another endpoint.
pub(super) fn is_available(lines: impl IntoIterator<Item = Standing> + Clone) -> bool {
    match choose(lines.clone()) {
        Choice::Call(_) | Choice::Open(_) => true,
        Choice::Wait => lines.into_iter().any(|line| line == Standing::Connecting),
        Choice::Fail(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: Standing = Standing::Ready { has_room: false };
    const FREE: Standing = Standing::Ready { has_room: true };

    fn standing() -> impl Strategy<Value = Standing> {
        prop::sample::select(vec![Standing::Idle, Standing::Connecting, FREE, FULL, Standing::Lost, Standing::Failed])
    }

    proptest! {
        #[test]
        fn a_call_goes_where_there_is_room_and_opens_another_only_where_there_is_none(
            lines in prop::collection::vec(standing(), 1..6),
        ) {
            let first = |which: Standing| lines.iter().position(|line| *line == which);
            let is_coming = first(Standing::Connecting).or(first(Standing::Lost)).is_some();
            match choose(lines.iter().copied()) {
                Choice::Call(index) => prop_assert_eq!(Some(index), first(FREE)),
                Choice::Open(index) => {
                    prop_assert_eq!(Some(index), first(Standing::Idle));
                    prop_assert!(first(FREE).is_none() && !is_coming && first(Standing::Failed).is_none());
                }
                Choice::Fail(index) => {
                    prop_assert_eq!(Some(index), first(Standing::Failed));
                    prop_assert!(first(FREE).or(first(FULL)).is_none() && !is_coming);
                }
                // Something will happen: a call ends, or a connection is there, or cannot be made.
                Choice::Wait => prop_assert!(first(FREE).is_none() && (is_coming || first(FULL).is_some())),
            }
        }

        /// Calls come and end, connections are made and lost: as many are made as are needed, and no more.
        #[test]
        fn no_connection_has_more_calls_than_the_peer_takes(
            events in prop::collection::vec((0u8..4, 0usize..4), 1..200),
            room in 1usize..4,
            connections_max in 1usize..5,
        ) {
            // How many calls each has; `None` is idle.
            let mut lines: Vec<Option<usize>> = vec![None; connections_max];
            let mut connecting = None;
            for (event, which) in events {
                let standings: Vec<Standing> = lines.iter().enumerate().map(|(index, line)| match line {
                    _ if connecting == Some(index) => Standing::Connecting,
                    None => Standing::Idle,
                    Some(calls) => Standing::Ready { has_room: *calls < room },
                }).collect();
                let which = which % connections_max;
                match event {
                    0 | 1 => match choose(standings) {
                        Choice::Call(index) => *lines[index].as_mut().unwrap() += 1,
                        Choice::Open(index) => {
                            prop_assert!(lines.iter().flatten().all(|calls| *calls == room), "{lines:?}");
                            connecting = Some(index);
                        }
                        Choice::Wait => prop_assert!(
                            connecting.is_some() || lines.iter().all(|calls| *calls == Some(room)), "{lines:?}"
                        ),
                        Choice::Fail(_) => prop_assert!(false, "none has failed"),
                    },
                    2 => if let Some(calls) = &mut lines[which] { *calls = calls.saturating_sub(1) },
                    _ => if let Some(index) = connecting.take() { lines[index] = Some(0) },
                }
                prop_assert!(lines.iter().flatten().all(|calls| *calls <= room), "{lines:?}");
            }
        }
    }

    #[test]
    fn a_call_goes_elsewhere_while_it_would_wait_for_others() {
        assert!(is_available([Standing::Idle, Standing::Idle]));
        assert!(is_available([FULL, Standing::Idle]));
        assert!(is_available([FULL, Standing::Connecting]));
        assert!(is_available([Standing::Failed, FREE]));
        assert!(!is_available([FULL, FULL]));
        assert!(!is_available([FULL, Standing::Failed]));
        assert!(!is_available([Standing::Lost, Standing::Idle]));
        assert!(!is_available([Standing::Failed, Standing::Idle]));
    }
}
