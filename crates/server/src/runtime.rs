//! The runtime in numbers: how busy its workers are, and what waits for them.
//!
//! They are what tokio counts anyway, read off whenever metrics are collected.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::AsyncInstrument;
use tokio::runtime::{Handle, RuntimeMetrics};

/// The ratio is of at least this time, so that two who collect at once do not get one of nothing.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Shows the numbers of a runtime until it is dropped.
#[derive(Debug)]
pub(crate) struct Observed(#[expect(dead_code, reason = "it is for what holds a reference to it")] Arc<Runtime>);

#[derive(Debug)]
struct Runtime {
    metrics: RuntimeMetrics,
    busy: Mutex<Busy>,
}

/// How busy the workers were between the last two readings.
#[derive(Debug)]
struct Busy {
    read_at: Instant,
    total: Duration,
    ratio: f64,
}

impl Busy {
    /// The ratio in the time before `now`, given how long `workers` have been busy in all.
    fn ratio(&mut self, now: Instant, total: Duration, workers: usize) -> f64 {
        let elapsed = now.saturating_duration_since(self.read_at);
        if elapsed >= WINDOW_MIN && workers > 0 {
            // A worker's time is counted when it goes to sleep, and then all of it: one that was busy for
            // longer than the window would have a ratio above 1.
            let busy = total.saturating_sub(self.total).as_secs_f64();
            let ratio = (busy / (elapsed.as_secs_f64() * workers as f64)).min(1.0);
            *self = Self { read_at: now, total, ratio };
        }
        self.ratio
    }
}

impl Runtime {
    fn total_busy(&self) -> Duration {
        (0..self.metrics.num_workers()).map(|worker| self.metrics.worker_total_busy_duration(worker)).sum()
    }

    fn busy_ratio(&self) -> f64 {
        let (now, total, workers) = (Instant::now(), self.total_busy(), self.metrics.num_workers());
        let mut busy = self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        busy.ratio(now, total, workers)
    }
}

/// Registers what is read off the runtime. It ends with what is returned.
pub(crate) fn observe(runtime: &Handle) -> Observed {
    let metrics = runtime.metrics();
    let busy = Mutex::new(Busy { read_at: Instant::now(), total: Duration::ZERO, ratio: 0.0 });
    let runtime = Arc::new(Runtime { metrics, busy });
    let meter = opentelemetry::global::meter("seawall.server");
    let weak = || Arc::downgrade(&runtime);
    let _ = meter
        .i64_observable_up_down_counter("tokio.worker.count")
        .with_unit("{worker}")
        .with_description("Threads that run tasks.")
        .with_callback(read(weak(), |workers, runtime| workers.observe(count(runtime.metrics.num_workers()), &[])))
        .build();
    let _ = meter
        .i64_observable_up_down_counter("tokio.task.count")
        .with_unit("{task}")
        .with_description("Tasks that have begun and not ended.")
        .with_callback(read(weak(), |tasks, runtime| tasks.observe(count(runtime.metrics.num_alive_tasks()), &[])))
        .build();
    let _ = meter
        .i64_observable_up_down_counter("tokio.global_queue.depth")
        .with_unit("{task}")
        .with_description("Tasks that are ready, and for which no worker has had time yet.")
        .with_callback(read(weak(), |depth, runtime| depth.observe(count(runtime.metrics.global_queue_depth()), &[])))
        .build();
    let _ = meter
        .f64_observable_counter("tokio.worker.busy_time")
        .with_unit("s")
        .with_description("How long a worker has run tasks; it is counted when the worker goes to sleep.")
        .with_callback(read(weak(), |time, runtime| {
            for worker in 0..runtime.metrics.num_workers() {
                let busy = runtime.metrics.worker_total_busy_duration(worker).as_secs_f64();
                time.observe(busy, &[KeyValue::new("tokio.worker.id", count(worker))]);
            }
        }))
        .build();
    let _ = meter
        .f64_observable_gauge("tokio.worker.utilization")
        .with_unit("1")
        .with_description("The share of their time that all workers were busy since this was last read.")
        .with_callback(read(weak(), |ratio, runtime| ratio.observe(runtime.busy_ratio(), &[])))
        .build();
    Observed(runtime)
}

/// A callback that is given the instrument and the runtime while that is there.
fn read<T: 'static>(
    runtime: Weak<Runtime>,
    report: impl Fn(&dyn AsyncInstrument<T>, &Runtime) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    move |instrument| {
        if let Some(runtime) = runtime.upgrade() {
            report(instrument, &runtime);
        }
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_a_second_or_more_and_of_all_workers() {
        let begun = Instant::now();
        let mut busy = Busy { read_at: begun, total: Duration::ZERO, ratio: 0.0 };
        let mut at = |millis, total| busy.ratio(begun + Duration::from_millis(millis), Duration::from_millis(total), 2);
        assert_eq!(at(999, 900), 0.0, "it is too early");
        assert_eq!(at(2_000, 1_000), 0.25);
        assert_eq!(at(2_100, 1_200), 0.25, "another one who reads gets the same");
        assert_eq!(at(3_000, 2_500), 0.75);
        assert_eq!(at(4_000, 60_000), 1.0, "a worker has been busy for a minute");
    }
}
