//! The pool in numbers, under the names of OpenTelemetry's conventions where they have one.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram};

use crate::Shared;

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

/// Registers what is read off the pool whenever metrics are collected. They end with the pool.
pub(crate) fn observe(shared: &Weak<Shared>) {
    let meter = opentelemetry::global::meter("seawall.pool");
    let _ = meter
        .i64_observable_up_down_counter("db.client.connection.count")
        .with_unit("{connection}")
        .with_description("Connections that are in the given state.")
        .with_callback(observer(shared, |report, state, _| {
            let (all, idle) = (i64::from(state.connections), i64::from(state.idle_connections));
            report("db.client.connection.state", "used", all - idle);
            report("db.client.connection.state", "idle", idle);
        }))
        .build();
    let _ = meter
        .u64_observable_counter("seawall.pool.connections.closed")
        .with_unit("{connection}")
        .with_description("Connections that were closed, by reason.")
        .with_callback(observer(shared, |report, state, shared| {
            let closed = &state.statistics;
            let expired = shared.expired.load(Ordering::Relaxed);
            report("reason", "broken", closed.connections_closed_broken.saturating_sub(expired));
            report("reason", "failed_test", closed.connections_closed_invalid);
            report("reason", "lifetime", closed.connections_closed_max_lifetime + expired);
            report("reason", "idle", closed.connections_closed_idle_timeout);
        }))
        .build();
    let plain = shared.clone();
    let _ = meter
        .u64_observable_counter("seawall.pool.connections.created")
        .with_unit("{connection}")
        .with_description("Connections that were made.")
        .with_callback(move |created| {
            if let Some(shared) = plain.upgrade() {
                created.observe(shared.pool.state().statistics.connections_created, &shared.metrics.pool);
            }
        })
        .build();
    let plain = shared.clone();
    let _ = meter
        .i64_observable_up_down_counter("db.client.connection.max")
        .with_unit("{connection}")
        .with_description("How many connections there may be.")
        .with_callback(move |max| {
            if let Some(shared) = plain.upgrade() {
                max.observe(shared.size_max.into(), &shared.metrics.pool);
            }
        })
        .build();
}

/// A callback that is given the pool's state and a function to report a number under one attribute.
fn observer<T: 'static>(
    shared: &Weak<Shared>,
    report: impl Fn(&dyn Fn(&'static str, &'static str, T), &bb8::State, &Shared) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    let shared = shared.clone();
    move |instrument| {
        let Some(shared) = shared.upgrade() else { return };
        let [pool] = &shared.metrics.pool;
        let observe = |key, value, number| instrument.observe(number, &[pool.clone(), KeyValue::new(key, value)]);
        report(&observe, &shared.pool.state(), &shared);
    }
}
