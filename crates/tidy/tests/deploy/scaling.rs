//! How many replicas there are: by a metric that exists, at a number that a process can serve.

use seawall_tidy::read;
use serde_json::Value;

use crate::objects::{number, overlays};
use crate::process::{METRICS_PORT, services, setting};

#[test]
fn replicas_are_by_calls_in_flight_which_the_adapter_makes_of_what_services_count() {
    let adapter: Value = serde_saphyr::from_str(&read("deploy/k8s/metrics-adapter.yaml")).unwrap();
    let rule = &adapter["rules"]["custom"][0];
    // The names that the tests of telemetry hold it to.
    let exported = read("crates/telemetry/tests/calls.rs");
    for series in ["grpc_server_call_started_total{", "grpc_server_call_duration_seconds_count{"] {
        assert!(rule["metricsQuery"].as_str().unwrap().contains(series), "{series}");
        assert!(exported.contains(&format!("r#\"{series}grpc_method=")), "{series} is not exported");
    }
    for overlay in overlays() {
        let scalers = overlay.of_kind("HorizontalPodAutoscaler").count();
        let budgets = overlay.of_kind("PodDisruptionBudget").count();
        if overlay.name == "dev" {
            assert_eq!((scalers, budgets), (0, 0), "nothing makes that metric there");
            continue;
        }
        assert_eq!((scalers, budgets), (services().len(), services().len()));
        for service in services() {
            let deployment = overlay.get("Deployment", &service.name);
            assert!(deployment["spec"]["replicas"].is_null(), "each rollout would undo what the scaler has done");
            let scaler = &overlay.get("HorizontalPodAutoscaler", &service.name)["spec"];
            assert_eq!(scaler["scaleTargetRef"]["kind"], "Deployment");
            assert_eq!(scaler["scaleTargetRef"]["name"], service.name.as_str());
            let metric = &scaler["metrics"][0]["pods"];
            assert_eq!(metric["metric"]["name"], rule["name"]["as"]);
            let (target, most) = (number(&metric["target"]["averageValue"]), setting(&service.name, "concurrency_max"));
            assert!(target * 2 <= most.parse().unwrap(), "{target} of at most {most} calls is too late");
            assert!(number(&scaler["minReplicas"]) >= 2, "one replica that goes leaves none");

            let budget = &overlay.get("PodDisruptionBudget", &service.name)["spec"];
            assert_eq!(budget["selector"], deployment["spec"]["selector"]);
            assert_eq!(number(&budget["maxUnavailable"]), 1);
        }
    }
}

#[test]
fn prometheus_finds_and_may_read_what_the_adapter_asks_it_for() {
    for overlay in overlays() {
        for service in services() {
            let pod = &overlay.get("Deployment", &service.name)["spec"]["template"];
            let annotations = &pod["metadata"]["annotations"];
            assert_eq!(annotations["prometheus.io/scrape"], "true");
            assert_eq!(annotations["prometheus.io/path"], "/metrics");
            assert_eq!(annotations["prometheus.io/port"], METRICS_PORT);
        }
    }
}
