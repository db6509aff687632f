//! The pool in numbers, under the names of OpenTelemetry's conventions where they have one.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

#[derive(Debug)]
pub(crate) struct Metrics {
    wait_time: Histogram<f64>,
    use_time: Histogram<f64>,
    timeouts: Counter<u64>,
    pool: [KeyValue; 1],
}

impl Metrics {
    pub(crate) fn new(database: &str) -> Self {
        let meter = opentelemetry::global::meter("seawall.pool");
        let seconds = |name: &'static str, description: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(vec![0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0])
                .build()
        };
        Self {
            wait_time: seconds(
                "db.client.connection.wait_time",
                "The time it took to take a connection from the pool.",
            ),
            use_time: seconds(
                "db.client.connection.use_time",
                "The time between taking a connection and giving it back.",
            ),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_unit("{timeout}")
                .with_description("Checkouts that ended because no connection came free in time.")
                .build(),
            pool: [KeyValue::new("db.client.connection.pool.name", database.to_owned())],
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.wait_time.record(time.as_secs_f64(), &self.pool);
    }

    pub(crate) fn used(&self, time: Duration) {
        self.use_time.record(time.as_secs_f64(), &self.pool);
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.add(1, &self.pool);
    }
}
