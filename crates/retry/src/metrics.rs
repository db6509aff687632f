//! The instruments of gRFC A96, recorded at the end of a call.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};

/// The boundaries of gRFC A66, in seconds.
const LATENCY_BOUNDARIES: [f64; 41] = [
    0.0, 0.000_01, 0.000_05, 0.000_1, 0.000_3, 0.000_6, 0.000_8, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01,
    0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8,
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];

/// What a call did beside its first attempt.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) retries: u64,
    pub(crate) transparent_retries: u64,
    pub(crate) hedges: u64,
    /// The time in which no attempt was under way.
    pub(crate) delay: Duration,
}

impl Tally {
    /// Records what is not zero; a call with one attempt costs nothing here.
    pub(crate) fn record(&self, labels: &[KeyValue]) {
        let counts = [self.retries, self.transparent_retries, self.hedges];
        if counts.iter().all(|count| *count == 0) && self.delay.is_zero() {
            return;
        }
        let instruments = Instruments::get();
        for (count, histogram) in counts.into_iter().zip(&instruments.counts) {
            if count > 0 {
                histogram.record(count, labels);
            }
        }
        if !self.delay.is_zero() {
            instruments.delay.record(self.delay.as_secs_f64(), labels);
        }
    }
}

/// The labels that gRFC A96 requires.
pub(crate) fn labels(method: &str, peer: &Arc<str>) -> [KeyValue; 2] {
    let method: Arc<str> = method.trim_start_matches('/').into();
    [KeyValue::new("grpc.method", method), KeyValue::new("grpc.target", peer.clone())]
}

#[derive(Debug)]
struct Instruments {
    /// Retries, transparent retries, hedges.
    counts: [Histogram<u64>; 3],
    delay: Histogram<f64>,
}

impl Instruments {
    fn get() -> &'static Self {
        static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();
        INSTRUMENTS.get_or_init(|| {
            let meter = global::meter("seawall.retry");
            let count = |name, unit, last: u64, description| {
                let boundaries = (1..=5).chain([last]).map(|count| count as f64);
                let mut boundaries: Vec<f64> = boundaries.collect();
                boundaries.dedup();
                let histogram = meter.u64_histogram(name).with_unit(unit).with_boundaries(boundaries);
                histogram.with_description(description).build()
            };
            Self {
                counts: [
                    count("grpc.client.call.retries", "{retry}", 5, "Retries of a call that had any."),
                    count(
                        "grpc.client.call.transparent_retries",
                        "{transparent_retry}",
                        10,
                        "Transparent retries of a call that had any.",
                    ),
                    count("grpc.client.call.hedges", "{hedge}", 5, "Hedges of a call that had any."),
                ],
                delay: meter
                    .f64_histogram("grpc.client.call.retry_delay")
                    .with_unit("s")
                    .with_boundaries(LATENCY_BOUNDARIES.to_vec())
                    .with_description("The time of a call in which no attempt of it was under way.")
                    .build(),
            }
        })
    }
}
