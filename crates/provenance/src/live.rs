//! The live state of the policies of this process.
//!
//! Policies are made in many places, by servers and by each channel, and looked at in one: so the
//! list of them belongs to the process. It holds them weakly, and forgets those that are gone.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use serde_json::{Map, Value};

/// A policy that can be looked at, and perhaps commanded.
pub trait Live: Debug + Send + Sync {
    /// What it knows now.
    fn state(&self) -> Value;

    /// Does what an operator asks.
    ///
    /// # Errors
    /// If it does not know the command; most know none.
    fn command(&self, command: &str) -> Result<(), CommandError> {
        let _ = command;
        Err(CommandError::NoCommands)
    }
}

/// Why a command was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such policy.
    #[error("there is no such policy")]
    NotFound,
    /// The policy is only to be looked at.
    #[error("it takes no commands")]
    NoCommands,
    /// The policy does not know the command.
    #[error("unknown command; it takes {allowed}")]
    Unknown {
        /// The commands it knows.
        allowed: &'static str,
    },
}

type Key = (&'static str, String);

static LIVE: Mutex<BTreeMap<Key, Weak<dyn Live>>> = Mutex::new(BTreeMap::new());

fn live() -> MutexGuard<'static, BTreeMap<Key, Weak<dyn Live>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows a policy for as long as it lives. `kind` is such as `breakers`; a policy of the same kind
/// and name takes the place of the one before.
pub fn publish(kind: &'static str, name: impl Into<String>, policy: Weak<dyn Live>) {
    let mut live = live();
    live.retain(|_, policy| policy.strong_count() > 0);
    live.insert((kind, name.into()), policy);
}

/// The state of all policies, as `{ kind: { name: state } }`.
pub fn snapshot() -> Value {
    // Not while they are asked, which takes locks of their own.
    let all: Vec<_> = live().iter().filter_map(|(key, policy)| Some((key.clone(), policy.upgrade()?))).collect();
    let mut kinds: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for ((kind, name), policy) in all {
        kinds.entry(kind).or_default().insert(name, policy.state());
    }
    kinds.into_iter().map(|(kind, policies)| (kind.to_owned(), Value::Object(policies))).collect::<Map<_, _>>().into()
}

/// Has a policy do something, such as `open` a breaker.
///
/// # Errors
/// If there is no such policy, or it does not know the command.
pub fn command(kind: &str, name: &str, command: &str) -> Result<(), CommandError> {
    let policy = live()
        .iter()
        .find(|((a_kind, a_name), _)| *a_kind == kind && a_name == name)
        .and_then(|(_, policy)| policy.upgrade())
        .ok_or(CommandError::NotFound)?;
    policy.command(command)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug)]
    struct Lamp(Mutex<bool>);

    impl Live for Lamp {
        fn state(&self) -> Value {
            Value::Bool(*self.0.lock().unwrap())
        }

        fn command(&self, command: &str) -> Result<(), CommandError> {
            match command {
                "on" => *self.0.lock().unwrap() = true,
                _ => return Err(CommandError::Unknown { allowed: "on" }),
            }
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Sun;

    impl Live for Sun {
        fn state(&self) -> Value {
            Value::Bool(true)
        }
    }

    #[test]
    fn what_lives_is_shown_and_obeys_and_what_is_gone_is_not() {
        let lamp: Arc<dyn Live> = Arc::new(Lamp(Mutex::new(false)));
        publish("lamps", "a", Arc::downgrade(&lamp));
        assert_eq!(snapshot()["lamps"], serde_json::json!({ "a": false }));
        assert_eq!(command("lamps", "a", "on"), Ok(()));
        assert_eq!(snapshot()["lamps"]["a"], true);
        assert_eq!(command("lamps", "a", "up"), Err(CommandError::Unknown { allowed: "on" }));
        assert_eq!(command("lamps", "b", "on"), Err(CommandError::NotFound));
        let sun: Arc<dyn Live> = Arc::new(Sun);
        publish("lamps", "sun", Arc::downgrade(&sun));
        assert_eq!(command("lamps", "sun", "on"), Err(CommandError::NoCommands));
        drop(sun);
        drop(lamp);
        assert_eq!(snapshot().get("lamps"), None);
    }
}
