//! What was recorded: traces, their spans and events, as plain values that serialise to JSON.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// The spans of one trace, by start time.
///
/// It may be a part of the trace: spans arrive in any order, and some never do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// 32 lowercase hexadecimal digits.
    pub trace_id: String,
    /// By start time; no two have the same id.
    pub spans: Vec<Span>,
}

/// One operation of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// 32 lowercase hexadecimal digits.
    pub trace_id: String,
    /// 16 lowercase hexadecimal digits.
    pub span_id: String,
    /// The span that caused this one, which need not be in the trace yet.
    pub parent_id: Option<String>,
    /// The resource's `service.name`, or `unknown_service`.
    pub service: String,
    /// Such as `seawall.user.v1.UserService/GetUser`.
    pub name: String,
    /// Which side of a call this is.
    pub kind: Kind,
    /// The gRPC code by name (`OK`, `NOT_FOUND`) where the span has one, else the OpenTelemetry
    /// status (`UNSET`, `OK`, `ERROR`).
    pub code: String,
    /// The OpenTelemetry status.
    pub status: Status,
    /// What the status says of an error; empty when it says nothing.
    pub status_message: String,
    /// Nanoseconds since 1970 by the clock of the machine that made the span.
    pub start_ns: u64,
    /// Nanoseconds; zero for a span that ends before it starts.
    pub duration_ns: u64,
    /// As recorded, values written as text; an object in JSON.
    #[serde(serialize_with = "as_object")]
    pub attributes: Vec<(String, String)>,
    /// By time.
    pub events: Vec<Event>,
}

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What happened.
    pub name: String,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// As recorded, values written as text; an object in JSON.
    #[serde(serialize_with = "as_object")]
    pub attributes: Vec<(String, String)>,
}

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Work inside of a service; also when the sender did not say.
    Internal,
    /// Serves a call.
    Server,
    /// Makes a call.
    Client,
    /// Puts a message into a queue.
    Producer,
    /// Takes a message out of a queue.
    Consumer,
}

/// How a span ended, as OpenTelemetry says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was said, which is the usual end of a span without an error.
    Unset,
    /// Marked as good.
    Ok,
    /// Failed.
    Error,
}

/// One line of a list of traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceSummary {
    /// 32 lowercase hexadecimal digits.
    pub trace_id: String,
    /// The name of the span without a parent, or of the earliest if that has not arrived.
    pub root_name: String,
    /// The service of that span.
    pub root_service: String,
    /// Nanoseconds since 1970: the earliest start of a span.
    pub start_ns: u64,
    /// From the earliest start to the latest end.
    pub duration_ns: u64,
    /// How many spans have arrived and are kept.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// In order of their first span.
    pub services: Vec<String>,
}

/// Which traces a list has. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only traces in which this service has a span.
    pub service: Option<String>,
    /// Only traces with an error.
    pub errors_only: bool,
    /// Only traces that took at least this long.
    pub duration_min: Option<std::time::Duration>,
}

impl Span {
    /// Whether the span's status is an error.
    pub fn is_error(&self) -> bool {
        self.status == Status::Error
    }

    /// Nanoseconds since 1970.
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.duration_ns)
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

impl Trace {
    /// When the earliest span starts, in nanoseconds since 1970; zero for a trace without spans.
    pub fn start_ns(&self) -> u64 {
        self.spans.iter().map(|span| span.start_ns).min().unwrap_or_default()
    }

    /// From the earliest start to the latest end.
    pub fn duration_ns(&self) -> u64 {
        self.spans.iter().map(Span::end_ns).max().unwrap_or_default() - self.start_ns()
    }

    /// How many spans failed.
    pub fn errors(&self) -> usize {
        self.spans.iter().filter(|span| span.is_error()).count()
    }

    /// The services, in order of their first span.
    pub fn services(&self) -> Vec<&str> {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for span in &self.spans {
            let start_ns = first.entry(&span.service).or_insert(span.start_ns);
            *start_ns = span.start_ns.min(*start_ns);
        }
        let mut services: Vec<_> = first.into_iter().collect();
        services.sort_by_key(|(_, start_ns)| *start_ns);
        services.into_iter().map(|(service, _)| service).collect()
    }
}

fn as_object<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}
