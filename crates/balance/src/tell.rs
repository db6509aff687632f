//! What is told of endpoints: log lines of what changed, and the metrics of gRFC A91.

use std::sync::OnceLock;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

use crate::discover::Address;
use crate::outlier::{Action, Detection, Verdict};

struct Metrics {
    enforced: Counter<u64>,
    unenforced: Counter<u64>,
}

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let meter = global::meter("seawall.policy");
        let counter =
            |name, description| meter.u64_counter(name).with_unit("{ejection}").with_description(description).build();
        Metrics {
            enforced: counter("grpc.lb.outlier_detection.ejections_enforced", "Endpoints that were ejected."),
            unenforced: counter(
                "grpc.lb.outlier_detection.ejections_unenforced",
                "Outliers that were not ejected, for the reason in the label.",
            ),
        }
    })
}

pub(crate) fn tell_verdict(target: &'static str, address: &Address, verdict: &Verdict) {
    let detection = verdict.detection.map_or("", Detection::as_str);
    let labels =
        [KeyValue::new("grpc.target", target), KeyValue::new("grpc.lb.outlier_detection.detection_method", detection)];
    let Verdict { successes, failures, consecutive_failures, threshold, multiplier, .. } = *verdict;
    match verdict.action {
        Action::Ejected(time) => {
            tracing::warn!(
                peer = target,
                endpoint = %address,
                detection,
                successes,
                failures,
                consecutive_failures,
                threshold,
                ejections = multiplier,
                at_least_s = time.as_secs_f64(),
                "endpoint ejected"
            );
            metrics().enforced.add(1, &labels);
            seawall_provenance::counted(
                "balance.ejected",
                &[KeyValue::new("peer", target), KeyValue::new("detection", detection)],
            );
        }
        Action::Returned => {
            tracing::info!(peer = target, endpoint = %address, ejections = multiplier, "endpoint returned");
            seawall_provenance::counted("balance.returned", &[KeyValue::new("peer", target)]);
        }
        Action::Overflow => unenforced(labels, "max_ejection_overflow"),
        Action::Spared => unenforced(labels, "enforcement_percentage"),
    }
}

fn unenforced(labels: [KeyValue; 2], reason: &'static str) {
    let [target, method] = labels;
    let reason = KeyValue::new("grpc.lb.outlier_detection.unenforced_reason", reason);
    metrics().unenforced.add(1, &[target, method, reason]);
}

pub(crate) fn tell_changed(target: &str, endpoints: usize, added: usize, removed: usize, left_out: usize) {
    if added + removed > 0 || endpoints == 0 {
        tracing::info!(peer = target, endpoints, added, removed, "endpoints changed");
    }
    if left_out > 0 {
        tracing::warn!(peer = target, endpoints, left_out, "more endpoints than a balancer takes; use a subset");
    }
}

pub(crate) fn tell_health(target: &str, address: &Address, is_serving: bool, why: &str) {
    if is_serving {
        tracing::info!(peer = target, endpoint = %address, why, "endpoint is serving");
    } else {
        tracing::warn!(peer = target, endpoint = %address, why, "endpoint is not serving");
    }
}
