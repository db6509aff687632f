//! The instruments of gRFC A66, and their Prometheus text.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use prometheus::{Encoder as _, TextEncoder};
use seawall_error::code_name;
use tonic::Code;

/// The boundaries of gRFC A66, in seconds.
const LATENCY_BOUNDARIES: [f64; 41] = [
    0.0, 0.000_01, 0.000_05, 0.000_1, 0.000_3, 0.000_6, 0.000_8, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01,
    0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8,
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];

/// On which side of the wire a call is recorded.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    Server,
    Client { target: Arc<str> },
}

/// What is counted and timed of every call.
#[derive(Debug)]
pub(crate) struct Instruments {
    server_started: Counter<u64>,
    server_duration: Histogram<f64>,
    client_started: Counter<u64>,
    client_attempt_duration: Histogram<f64>,
    client_call_duration: Histogram<f64>,
}

impl Instruments {
    /// Those of the process; they count nothing before [`init`](crate::init).
    pub(crate) fn get() -> &'static Self {
        static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();
        INSTRUMENTS.get_or_init(Self::new)
    }

    fn new() -> Self {
        let meter = global::meter("seawall.grpc");
        let duration = |name, description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(LATENCY_BOUNDARIES.to_vec())
                .with_description(description)
                .build()
        };
        let started =
            |name, unit, description| meter.u64_counter(name).with_unit(unit).with_description(description).build();
        Self {
            server_started: started("grpc.server.call.started", "{call}", "calls that reached the server"),
            server_duration: duration("grpc.server.call.duration", "from the first header to the trailers"),
            client_started: started("grpc.client.attempt.started", "{attempt}", "attempts that were sent out"),
            client_attempt_duration: duration(
                "grpc.client.attempt.duration",
                "from sending an attempt to its trailers",
            ),
            client_call_duration: duration("grpc.client.call.duration", "of a call with all its attempts"),
        }
    }

    /// A call has reached the server. On the client only attempts are counted when they begin.
    pub(crate) fn started(&self, side: &Side, method: &Arc<str>) {
        if let Side::Server = side {
            self.server_started.add(1, &[KeyValue::new("grpc.method", method.clone())]);
        }
    }

    pub(crate) fn ended(&self, side: &Side, method: &Arc<str>, code: Code, elapsed: Duration) {
        let duration = match side {
            Side::Server => &self.server_duration,
            Side::Client { .. } => &self.client_call_duration,
        };
        record(duration, side, method, code, elapsed);
    }

    pub(crate) fn attempt_started(&self, side: &Side, method: &Arc<str>) {
        if let Side::Client { target } = side {
            let attributes =
                [KeyValue::new("grpc.method", method.clone()), KeyValue::new("grpc.target", target.clone())];
            self.client_started.add(1, &attributes);
        }
    }

    pub(crate) fn attempt_ended(&self, side: &Side, method: &Arc<str>, code: Code, elapsed: Duration) {
        record(&self.client_attempt_duration, side, method, code, elapsed);
    }
}

fn record(duration: &Histogram<f64>, side: &Side, method: &Arc<str>, code: Code, elapsed: Duration) {
    let method = KeyValue::new("grpc.method", method.clone());
    let status = KeyValue::new("grpc.status", code_name(code));
    match side {
        Side::Server => duration.record(elapsed.as_secs_f64(), &[method, status]),
        Side::Client { target } => {
            let target = KeyValue::new("grpc.target", target.clone());
            duration.record(elapsed.as_secs_f64(), &[method, status, target]);
        }
    }
}

static REGISTRY: OnceLock<prometheus::Registry> = OnceLock::new();

/// The registry that the Prometheus reader fills on demand.
pub(crate) fn registry() -> &'static prometheus::Registry {
    REGISTRY.get_or_init(prometheus::Registry::new)
}

/// Every metric of the process in Prometheus's text format.
///
/// # Errors
/// If two instruments contradict each other.
pub fn prometheus_text() -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry().gather(), &mut text).map(|()| String::from_utf8_lossy(&text).into_owned())
}
