//! The parts of `google/protobuf/descriptor.proto` that we read, with our options in their place.
//!
//! The types of prost have no place for custom options; these have, and nothing else. That the
//! numbers are those of `proto/seawall/policy/v1/policy.proto` is tested in `tests/contract.rs`.

use std::time::Duration;

use prost::Message;
use seawall_retry::Idempotency;

use super::Location;
use crate::settings::{Layer, Source, Value};

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileDescriptorSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) file: Vec<FileDescriptorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<ServiceDescriptorProto>,
    #[prost(message, optional, tag = "9")]
    source_code_info: Option<SourceCodeInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<MethodDescriptorProto>,
    #[prost(message, optional, tag = "3")]
    pub(super) options: Option<ServiceOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MethodDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "4")]
    pub(super) options: Option<MethodOptions>,
    #[prost(bool, tag = "5")]
    pub(super) client_streaming: bool,
    #[prost(bool, tag = "6")]
    pub(super) server_streaming: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceOptions {
    #[prost(message, optional, tag = "50621")]
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MethodOptions {
    #[prost(int32, tag = "34")]
    idempotency_level: i32,
    #[prost(message, optional, tag = "50621")]
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, PartialEq, Message)]
struct SourceCodeInfo {
    #[prost(message, repeated, tag = "1")]
    location: Vec<SourceLocation>,
}

#[derive(Clone, PartialEq, Message)]
struct SourceLocation {
    #[prost(int32, repeated, tag = "1")]
    path: Vec<i32>,
    #[prost(int32, repeated, tag = "2")]
    span: Vec<i32>,
}

/// `MethodPolicy`, and `ServicePolicy`, which is the same without calls.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Policy {
    #[prost(uint32, optional, tag = "1")]
    budget_ms: Option<u32>,
    #[prost(int32, tag = "2")]
    criticality: i32,
    #[prost(message, optional, tag = "3")]
    retry: Option<Retry>,
    #[prost(message, optional, tag = "4")]
    hedge: Option<Hedge>,
    #[prost(message, repeated, tag = "5")]
    outcomes: Vec<CodeOutcome>,
    #[prost(string, repeated, tag = "6")]
    pub(super) calls: Vec<String>,
    #[prost(bool, tag = "7")]
    idempotency_key: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Retry {
    #[prost(uint32, optional, tag = "1")]
    attempts_max: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    initial_backoff_ms: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    max_backoff_ms: Option<u32>,
    #[prost(double, optional, tag = "4")]
    backoff_multiplier: Option<f64>,
    #[prost(string, repeated, tag = "5")]
    codes: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Hedge {
    #[prost(uint32, optional, tag = "1")]
    attempts_max: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    fixed_delay_ms: Option<u32>,
    #[prost(message, optional, tag = "3")]
    observed_delay: Option<ObservedDelay>,
    #[prost(string, repeated, tag = "4")]
    non_fatal_codes: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ObservedDelay {
    #[prost(double, optional, tag = "1")]
    percentile: Option<f64>,
    #[prost(uint32, optional, tag = "2")]
    initial_ms: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    min_ms: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    max_ms: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct CodeOutcome {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(int32, tag = "2")]
    outcome: i32,
}

impl MethodOptions {
    pub(super) fn idempotency(&self) -> Idempotency {
        match self.idempotency_level {
            1 => Idempotency::NoSideEffects,
            2 => Idempotency::Idempotent,
            _ if self.policy.as_ref().is_some_and(|policy| policy.idempotency_key) => Idempotency::Keyed,
            _ => Idempotency::None,
        }
    }
}

impl FileDescriptorProto {
    pub(super) fn location_of_service(&self, service: usize) -> Location {
        self.location(&[6, service])
    }

    pub(super) fn location_of_method(&self, service: usize, method: usize) -> Location {
        self.location(&[6, service, 2, method])
    }

    /// `path` is made of field numbers and indexes, as `SourceCodeInfo.Location` has it.
    fn location(&self, path: &[usize]) -> Location {
        let is_it = |location: &&SourceLocation| {
            location.path.len() == path.len()
                && location.path.iter().zip(path).all(|(a, b)| usize::try_from(*a) == Ok(*b))
        };
        let found = self.source_code_info.iter().flat_map(|info| &info.location).find(is_it);
        let line = found.and_then(|location| location.span.first()).map_or(0, |line| line + 1);
        Location { file: self.name.as_str().into(), line: usize::try_from(line).unwrap_or(0) }
    }
}

impl Policy {
    /// What is declared, as keys of a policy file. An enum's number that we do not know is kept, so
    /// that it is refused with all other mistakes.
    pub(super) fn layer(&self, source: &Source) -> Layer {
        let mut layer = Layer::default();
        let mut add = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                layer.set(key, value, source.clone());
            }
        };
        add("budget", self.budget_ms.map(milliseconds));
        add("criticality", name(self.criticality, &["sheddable", "default", "critical"]));
        if let Some(retry) = &self.retry {
            add("retry.attempts_max", retry.attempts_max.map(whole));
            add("retry.initial_backoff", retry.initial_backoff_ms.map(milliseconds));
            add("retry.max_backoff", retry.max_backoff_ms.map(milliseconds));
            add("retry.backoff_multiplier", retry.backoff_multiplier.map(Value::Number));
            add("retry.codes", codes(&retry.codes));
        }
        if let Some(hedge) = &self.hedge {
            add("hedge.attempts_max", hedge.attempts_max.map(whole));
            add("hedge.kind", hedge.fixed_delay_ms.map(|_| Value::Text("fixed".to_owned())));
            add("hedge.fixed_delay", hedge.fixed_delay_ms.map(milliseconds));
            add("hedge.non_fatal_codes", codes(&hedge.non_fatal_codes));
            if let Some(observed) = &hedge.observed_delay {
                add("hedge.kind", Some(Value::Text("observed".to_owned())));
                add("hedge.percentile", observed.percentile.map(Value::Number));
                add("hedge.initial_delay", observed.initial_ms.map(milliseconds));
                add("hedge.min_delay", observed.min_ms.map(milliseconds));
                add("hedge.max_delay", observed.max_ms.map(milliseconds));
            }
        }
        for CodeOutcome { code, outcome } in &self.outcomes {
            let names = ["success", "failure", "retryable", "callers_fault"];
            add(&format!("outcomes.{code}"), name(*outcome, &names).or(Some(Value::Other("0".to_owned()))));
        }
        layer
    }
}

fn milliseconds(number: u32) -> Value {
    Value::Duration(Duration::from_millis(number.into()))
}

fn codes(names: &[String]) -> Option<Value> {
    (!names.is_empty()).then(|| Value::Texts(names.to_vec()))
}

fn whole(number: u32) -> Value {
    Value::Whole(number.into())
}

/// The name of an enum's value, whose numbers begin at 1; 0 is none.
fn name(number: i32, names: &[&str]) -> Option<Value> {
    let known = usize::try_from(number).ok().and_then(|number| names.get(number.checked_sub(1)?));
    let unknown = || (number != 0).then(|| Value::Other(number.to_string()));
    known.map(|name| Value::Text((*name).to_owned())).or_else(unknown)
}
