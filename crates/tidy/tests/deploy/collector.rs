//! The collector: each overlay's configuration is of the collector that the base runs.

use serde_json::Value;

use crate::objects::{container, overlays, text};

#[test]
fn the_collector_listens_where_it_is_looked_for_and_every_pipeline_has_its_parts() {
    for overlay in overlays() {
        let pod = &overlay.get("Deployment", "collector")["spec"]["template"];
        let map = overlay.get("ConfigMap", &text(&pod["spec"]["volumes"][0]["configMap"]["name"]));
        let config: Value = serde_saphyr::from_str(&text(&map["data"]["config.yaml"])).unwrap();
        let folder = text(&container(pod)["volumeMounts"][0]["mountPath"]);
        assert_eq!(container(pod)["args"], serde_json::json!([format!("--config={folder}/config.yaml")]));

        let ports = container(pod)["ports"].as_array().unwrap();
        let port = |name: &str| text(&ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"]);
        let listens = |at: &Value| text(&at["endpoint"]);
        assert_eq!(listens(&config["receivers"]["otlp"]["protocols"]["grpc"]), format!("0.0.0.0:{}", port("otlp")));
        assert_eq!(listens(&config["extensions"]["health_check"]), format!("0.0.0.0:{}", port("health")));
        assert_eq!(container(pod)["readinessProbe"]["httpGet"]["port"], "health");
        assert_eq!(config["service"]["extensions"], serde_json::json!(["health_check"]));
        for signal in ["traces", "metrics", "logs"] {
            let pipeline = config["service"]["pipelines"][signal].as_object().unwrap_or_else(|| panic!("no {signal}"));
            for (kind, parts) in pipeline {
                for part in parts.as_array().unwrap() {
                    assert!(config[kind].get(text(part)).is_some(), "{}: {signal} has no {part}", overlay.name);
                }
            }
        }
    }
}
