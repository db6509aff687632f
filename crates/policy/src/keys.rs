//! The keys that a policy can have: their names, kinds, and what they set.

use std::time::Duration;

use seawall_classify::Outcome;
use seawall_error::code_name;
use seawall_propagation::Criticality;
use tonic::Code;

use crate::draft::{BreakerKind, Bucket, Draft};
use crate::settings::Value;

/// A key of a policy.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What a key's value must be, and where it goes.
#[derive(Debug)]
pub(crate) enum Kind {
    Duration(fn(&mut Draft, Duration)),
    Whole(fn(&mut Draft, u32)),
    Number(fn(&mut Draft, f64)),
    Yes(fn(&mut Draft, bool)),
    Choice(&'static [&'static str], fn(&mut Draft, &str)),
    Codes(fn(&mut Draft, Vec<Code>)),
    /// What calls are told apart by.
    Callers(fn(&mut Draft, Vec<seawall_limit::Key>)),
    /// What one code means.
    Outcome(Code),
}

const OUTCOMES: &[&str] = &["success", "failure", "retryable", "callers_fault"];

#[rustfmt::skip] // One key a line.
const KEYS: &[Key] = &[
    duration("budget", |draft, value| draft.budget = Some(value)),
    choice("criticality", &["sheddable", "default", "critical"], |draft, name| {
        draft.criticality = Criticality::from_name(name).unwrap_or_default();
    }),
    outcome("outcomes.CANCELLED", Code::Cancelled),
    outcome("outcomes.UNKNOWN", Code::Unknown),
    outcome("outcomes.INVALID_ARGUMENT", Code::InvalidArgument),
    outcome("outcomes.DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    outcome("outcomes.NOT_FOUND", Code::NotFound),
    outcome("outcomes.ALREADY_EXISTS", Code::AlreadyExists),
    outcome("outcomes.PERMISSION_DENIED", Code::PermissionDenied),
    outcome("outcomes.RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    outcome("outcomes.FAILED_PRECONDITION", Code::FailedPrecondition),
    outcome("outcomes.ABORTED", Code::Aborted),
    outcome("outcomes.OUT_OF_RANGE", Code::OutOfRange),
    outcome("outcomes.UNIMPLEMENTED", Code::Unimplemented),
    outcome("outcomes.INTERNAL", Code::Internal),
    outcome("outcomes.UNAVAILABLE", Code::Unavailable),
    outcome("outcomes.DATA_LOSS", Code::DataLoss),
    outcome("outcomes.UNAUTHENTICATED", Code::Unauthenticated),

    whole("retry.attempts_max", |draft, value| draft.retry.attempts_max = value),
    duration("retry.initial_backoff", |draft, value| draft.retry.initial_backoff = value),
    duration("retry.max_backoff", |draft, value| draft.retry.max_backoff = value),
    number("retry.backoff_multiplier", |draft, value| draft.retry.backoff_multiplier = value),
    codes("retry.codes", |draft, value| draft.retry.codes = value),
    whole("retry.replay_bytes_max", |draft, value| draft.retry.replay_bytes_max = to_usize(value)),

    whole("hedge.attempts_max", |draft, value| draft.hedge.attempts_max = value),
    choice("hedge.kind", &["observed", "fixed"], |draft, name| draft.hedge.is_fixed = name == "fixed"),
    duration("hedge.fixed_delay", |draft, value| draft.hedge.fixed_delay = value),
    number("hedge.percentile", |draft, value| draft.hedge.percentile = value),
    duration("hedge.initial_delay", |draft, value| draft.hedge.initial_delay = value),
    duration("hedge.min_delay", |draft, value| draft.hedge.min_delay = value),
    duration("hedge.max_delay", |draft, value| draft.hedge.max_delay = value),
    codes("hedge.non_fatal_codes", |draft, value| draft.hedge.non_fatal_codes = value),
    whole("hedge.replay_bytes_max", |draft, value| draft.hedge.replay_bytes_max = to_usize(value)),

    choice("breaker.kind", &["adaptive", "three_state", "off"], |draft, name| {
        draft.breaker.kind = match name {
            "adaptive" => BreakerKind::Adaptive,
            "three_state" => BreakerKind::ThreeState,
            _ => BreakerKind::Off,
        };
    }),
    duration("breaker.window", |draft, value| {
        draft.breaker.adaptive.window = value;
        draft.breaker.three_state.window = value;
    }),
    whole("breaker.buckets", |draft, value| {
        draft.breaker.adaptive.buckets = to_usize(value);
        draft.breaker.three_state.buckets = to_usize(value);
    }),
    number("breaker.k", |draft, value| draft.breaker.adaptive.k = value),
    number("breaker.k_min", |draft, value| draft.breaker.adaptive.k_min = value),
    whole("breaker.protection", |draft, value| draft.breaker.adaptive.protection = value),
    duration("breaker.force_pass_after", |draft, value| draft.breaker.adaptive.force_pass_after = value),
    whole("breaker.calls_min", |draft, value| draft.breaker.three_state.calls_min = value),
    number("breaker.failure_rate", |draft, value| draft.breaker.three_state.failure_rate = value),
    duration("breaker.slow_call", |draft, value| draft.breaker.three_state.slow_call = Some(value)),
    number("breaker.slow_call_rate", |draft, value| draft.breaker.three_state.slow_call_rate = value),
    whole("breaker.consecutive_failures", |draft, value| {
        draft.breaker.three_state.consecutive_failures = Some(value);
    }),
    duration("breaker.open_time", |draft, value| draft.breaker.three_state.open_time = value),
    duration("breaker.open_time_max", |draft, value| draft.breaker.three_state.open_time_max = value),
    number("breaker.jitter", |draft, value| draft.breaker.three_state.jitter = value),
    whole("breaker.probes", |draft, value| draft.breaker.three_state.probes = value),
    duration("breaker.probe_timeout", |draft, value| draft.breaker.three_state.probe_timeout = value),

    choice("rate.kind", &["token_bucket", "leaky_bucket", "off"], |draft, name| {
        draft.rate.kind = match name {
            "token_bucket" => Bucket::Token,
            "leaky_bucket" => Bucket::Leaky,
            _ => Bucket::Off,
        };
    }),
    number("rate.per_second", |draft, value| draft.rate.per_second = Some(value)),
    whole("rate.burst", |draft, value| draft.rate.config.burst = value),
    whole("rate.queue_max", |draft, value| draft.rate.queue_max = value),
    keys("rate.key", |draft, value| draft.rate.config.key = value),
    whole("rate.keys_max", |draft, value| draft.rate.config.keys_max = value),
    yes("rate.shared", |draft, value| draft.rate.config.shared = value),
    duration("rate.grace", |draft, value| draft.rate.config.grace = value),
];

const fn duration(name: &'static str, set: fn(&mut Draft, Duration)) -> Key {
    Key { name, kind: Kind::Duration(set) }
}

const fn whole(name: &'static str, set: fn(&mut Draft, u32)) -> Key {
    Key { name, kind: Kind::Whole(set) }
}

const fn number(name: &'static str, set: fn(&mut Draft, f64)) -> Key {
    Key { name, kind: Kind::Number(set) }
}

const fn yes(name: &'static str, set: fn(&mut Draft, bool)) -> Key {
    Key { name, kind: Kind::Yes(set) }
}

const fn choice(name: &'static str, names: &'static [&'static str], set: fn(&mut Draft, &str)) -> Key {
    Key { name, kind: Kind::Choice(names, set) }
}

const fn codes(name: &'static str, set: fn(&mut Draft, Vec<Code>)) -> Key {
    Key { name, kind: Kind::Codes(set) }
}

const fn keys(name: &'static str, set: fn(&mut Draft, Vec<seawall_limit::Key>)) -> Key {
    Key { name, kind: Kind::Callers(set) }
}

const fn outcome(name: &'static str, code: Code) -> Key {
    Key { name, kind: Kind::Outcome(code) }
}

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// The names as they are told to somebody who looks for one, the codes in one word.
pub(crate) fn listed() -> String {
    let plain = names().filter(|name| !name.starts_with("outcomes."));
    plain.chain(["outcomes.CODE"]).collect::<Vec<_>>().join(", ")
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The code with a name such as `NOT_FOUND`.
fn code(name: &str) -> Option<Code> {
    (0..17).map(Code::from).find(|code| code_name(*code) == name)
}

fn outcome_named(name: &str) -> Option<Outcome> {
    Some(match name {
        "success" => Outcome::Success,
        "failure" => Outcome::Failure,
        "retryable" => Outcome::Retryable,
        "callers_fault" => Outcome::CallersFault,
        _ => return None,
    })
}

impl Kind {
    /// The value as it has to be, or in words what it must be.
    pub(crate) fn read(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Duration(_), Value::Duration(_)) => Ok(value.clone()),
            (Self::Duration(_), Value::Text(text)) => {
                humantime::parse_duration(text).map(Value::Duration).map_err(|_| self.must_be())
            }
            (Self::Whole(_), Value::Whole(number)) if u32::try_from(*number).is_ok() => Ok(value.clone()),
            (Self::Number(_), Value::Number(_)) => Ok(value.clone()),
            (Self::Number(_), Value::Whole(number)) => {
                let number = u32::try_from(*number).map_err(|_| self.must_be())?;
                Ok(Value::Number(number.into()))
            }
            (Self::Choice(names, _), Value::Text(text)) if names.contains(&text.as_str()) => Ok(value.clone()),
            (Self::Outcome(_), Value::Text(text)) if OUTCOMES.contains(&text.as_str()) => Ok(value.clone()),
            (Self::Codes(_), Value::Texts(texts)) => {
                let codes: Option<Vec<Code>> = texts.iter().map(|text| code(text)).collect();
                codes.map(Value::Codes).ok_or_else(|| self.must_be())
            }
            (Self::Yes(_), Value::Yes(_)) => Ok(value.clone()),
            (Self::Callers(_), Value::Texts(texts)) if texts.iter().all(|text| caller(text).is_some()) => {
                Ok(value.clone())
            }
            _ => Err(self.must_be()),
        }
    }

    fn must_be(&self) -> String {
        match self {
            Self::Duration(_) => "a duration in quotes, such as \"250ms\", \"10s\" or \"5min\"".to_owned(),
            Self::Whole(_) => "a whole number from 0 to 4294967295".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Choice(names, _) => one_of(names),
            Self::Outcome(_) => one_of(OUTCOMES),
            Self::Yes(_) => "true or false".to_owned(),
            Self::Callers(_) => "a list of \"method\", \"caller\" and \"metadata:NAME\"".to_owned(),
            Self::Codes(_) => "a list of names of gRPC codes, such as [\"UNAVAILABLE\"]".to_owned(),
        }
    }

    /// Sets a value that [`read`](Self::read) has returned.
    pub(crate) fn apply(&self, draft: &mut Draft, value: &Value) {
        match (self, value) {
            (Self::Duration(set), Value::Duration(duration)) => set(draft, *duration),
            (Self::Whole(set), Value::Whole(number)) => set(draft, u32::try_from(*number).unwrap_or(u32::MAX)),
            (Self::Number(set), Value::Number(number)) => set(draft, *number),
            (Self::Choice(_, set), Value::Text(text)) => set(draft, text),
            (Self::Outcome(code), Value::Text(text)) => {
                draft.outcomes.extend(outcome_named(text).map(|it| (*code, it)));
            }
            (Self::Codes(set), Value::Codes(codes)) => set(draft, codes.clone()),
            (Self::Yes(set), Value::Yes(yes)) => set(draft, *yes),
            (Self::Callers(set), Value::Texts(texts)) => {
                set(draft, texts.iter().filter_map(|text| caller(text)).collect());
            }
            _ => {}
        }
    }
}

fn caller(text: &str) -> Option<seawall_limit::Key> {
    match text {
        "method" => Some(seawall_limit::Key::Method),
        "caller" => Some(seawall_limit::Key::Caller),
        _ => text.strip_prefix("metadata:").map(|name| seawall_limit::Key::Metadata(name.to_owned())),
    }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("one of {}", quoted.join(", "))
}
