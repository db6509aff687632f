//! The processes of services: settings, ports, probes, the end; and what every container may do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use seawall_auth::tls::LocalCa;
use seawall_tidy::read;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::docker::compose;
use crate::objects::{Overlay, container, number, overlays, text};
use crate::process::{GRPC_PORT, METRICS_PORT, calls, has_sql, seconds, services, setting};

/// Where the certificates of a process lie in its container.
const TLS_FOLDER: &str = "/etc/seawall/tls";

/// What the keys of a `NAME-tls` hold.
fn write_certificates(folder: &Path, service: &str) {
    let now = SystemTime::now();
    let valid = now..now + Duration::from_secs(3_600);
    let ca = LocalCa::try_new("test", &valid).unwrap();
    let issued = ca.issue(&[format!("spiffe://shop.example/{service}").parse().unwrap()], &valid).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.certificate()).unwrap();
    std::fs::write(folder.join("tls.crt"), issued.cert).unwrap();
    std::fs::write(folder.join("tls.key"), issued.key.expose_secret()).unwrap();
}

/// The Secret with the certificates of a pod.
fn certificates(pod: &Value) -> &Value {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    &volumes.iter().find(|volume| volume["name"] == "tls").expect("there is a volume for certificates")["secret"]
}

/// Has the program check its settings, with certificates where the container would have them.
fn assert_accepted(service: &str, pod: &Value, environment: BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path(), service);
    let mounts = &container(pod)["volumeMounts"];
    assert_eq!(mounts, &json!([{"name": "tls", "mountPath": TLS_FOLDER, "readOnly": true}]));
    assert_eq!(certificates(pod)["secretName"], format!("{service}-tls").as_str());
    let here = folder.path().display().to_string();
    let environment = environment.into_iter().map(|(name, value)| (name, value.replace(TLS_FOLDER, &here)));
    let checked = Command::new(seawall_testkit::binary(service)).arg("--check").env_clear().envs(environment).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{service}: {}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn each_overlay_runs_every_service_with_settings_that_it_accepts() {
    for overlay in overlays() {
        for service in services() {
            let pod = &overlay.get("Deployment", &service.name)["spec"]["template"];
            assert_accepted(&service.name, pod, overlay.environment(pod));
        }
        let jobs: Vec<&Value> = overlay.of_kind("Job").collect();
        assert_eq!(jobs.len(), services().iter().filter(|service| has_sql(service)).count(), "{}", overlay.name);
        for job in jobs {
            let pod = &job["spec"]["template"];
            let service = text(&pod["metadata"]["labels"]["app.kubernetes.io/name"]);
            assert_accepted(&service, pod, overlay.environment(pod));
        }
    }
}

#[test]
fn what_is_production_has_certificates_asks_who_calls_and_tells_nobody_of_itself() {
    for overlay in overlays() {
        for service in services() {
            let deployment = overlay.get("Deployment", &service.name);
            let environment = overlay.environment(&deployment["spec"]["template"]);
            let is = |name: &str| environment.get(name).map(String::as_str);
            let is_prod = overlay.name == "prod";
            assert_eq!(is("SEAWALL_TLS_CERT").is_some(), is_prod);
            assert_eq!(is("SEAWALL_AUTH_ENABLED") == Some("true"), is_prod);
            assert_eq!(is("SEAWALL_SERVER_REFLECTION").is_none(), is_prod);
            assert_eq!(is("SEAWALL_SERVER_ADMIN").is_none(), is_prod);
            let secret = certificates(&deployment["spec"]["template"]);
            assert_eq!(secret["optional"], !is_prod, "{}: without certificates it starts", service.name);
        }
    }
}

#[test]
fn a_service_is_found_where_its_callers_look_for_it() {
    for overlay in overlays() {
        for service in services() {
            let pod = &overlay.get("Deployment", &service.name)["spec"]["template"];
            let environment = overlay.environment(pod);
            assert_eq!(environment["SEAWALL_SERVER_LISTEN"], format!("0.0.0.0:{GRPC_PORT}"));
            assert_eq!(environment["SEAWALL_SERVER_METRICS_LISTEN"], format!("0.0.0.0:{METRICS_PORT}"));
            let ports = json!([
                {"name": "grpc", "containerPort": GRPC_PORT.parse::<u16>().unwrap()},
                {"name": "metrics", "containerPort": METRICS_PORT.parse::<u16>().unwrap()},
            ]);
            assert_eq!(container(pod)["ports"], ports);
            assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], METRICS_PORT);

            let of_service = overlay.get("Service", &service.name);
            assert_eq!(of_service["spec"]["clusterIP"], "None", "clients balance over all of its addresses");
            assert_eq!(text(&of_service["spec"]["ports"][0]["port"]), GRPC_PORT);
            assert_eq!(of_service["spec"]["ports"][0]["targetPort"], "grpc");
            assert_selects(&of_service["spec"]["selector"], pod);
            assert_selects(&overlay.get("Deployment", &service.name)["spec"]["selector"]["matchLabels"], pod);

            let scheme = if overlay.name == "prod" { "https" } else { "http" };
            for callee in calls(&service) {
                let variable = format!("SEAWALL_{}_ADDRESS", callee.to_uppercase());
                assert_eq!(environment[&variable], format!("{scheme}://{callee}:{GRPC_PORT}"), "{}", service.name);
            }
            let collector = overlay.get("Service", "collector");
            let port = text(&collector["spec"]["ports"][0]["port"]);
            assert_eq!(environment["SEAWALL_TELEMETRY_OTLP_ENDPOINT"], format!("http://collector:{port}"));
        }
    }
}

/// # Panics
/// If a selector does not select a pod.
fn assert_selects(selector: &Value, pod: &Value) {
    let labels = selector.as_object().unwrap();
    assert!(!labels.is_empty());
    for (name, value) in labels {
        assert_eq!(&pod["metadata"]["labels"][name], value, "the label {name}");
    }
}

/// How long a probe may fail until it counts, in seconds.
fn patience(probe: &Value) -> u64 {
    number(&probe["periodSeconds"]) * number(&probe["failureThreshold"])
}

#[test]
fn probes_ask_what_the_server_answers_and_wait_as_long_as_it_may_take() {
    let pages = read("crates/server/src/admin.rs");
    for overlay in overlays() {
        for service in services() {
            let pod = &overlay.get("Deployment", &service.name)["spec"]["template"];
            let container = container(pod);
            let is_tls = overlay.environment(pod).contains_key("SEAWALL_TLS_CERT");
            for probe in ["startupProbe", "readinessProbe"] {
                let probe = &container[probe];
                if is_tls {
                    assert!(probe["grpc"].is_null(), "the kubelet has no certificate");
                    assert_eq!(probe["httpGet"], json!({"path": "/readyz", "port": "metrics"}));
                } else {
                    assert_eq!(text(&probe["grpc"]["port"]), GRPC_PORT);
                    assert!(probe["httpGet"].is_null());
                }
            }
            assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "metrics"}));
            assert!(pages.contains("\"/readyz\"") && pages.contains("\"/livez\""));

            let start = patience(&container["startupProbe"]);
            if has_sql(&service) {
                let migrate = seconds(&setting(&service.name, "migrate_timeout"));
                assert!(start > migrate, "a process waits {migrate} s for its tables, and is killed after {start} s");
            }
            let progress = number(&overlay.get("Deployment", &service.name)["spec"]["progressDeadlineSeconds"]);
            assert!(progress > start, "a rollout has failed before a process has");
        }
    }
}

#[test]
fn a_pod_is_given_the_time_that_a_drain_takes() {
    for overlay in overlays() {
        for service in services() {
            let pod = &overlay.get("Deployment", &service.name)["spec"]["template"];
            let set = overlay.environment(pod).remove("SEAWALL_SERVER_DRAIN_TIMEOUT");
            let drain = seconds(&set.unwrap_or_else(|| setting(&service.name, "drain_timeout")));
            let before = number(&container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]);
            let grace = number(&pod["spec"]["terminationGracePeriodSeconds"]);
            assert!(
                before > 0 && grace > before + drain + 1,
                "{}: {grace} s for {before} s and {drain} s",
                service.name
            );
        }
    }
}

/// Every container, with those that come before it.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |key: &str| pod["spec"][key].as_array().into_iter().flatten();
    of("initContainers").chain(of("containers"))
}

fn all_pods(overlay: &Overlay) -> Vec<(String, &Value)> {
    let pods: Vec<_> = overlay.workloads().collect();
    assert!(pods.len() > services().len());
    pods
}

#[test]
fn no_container_may_do_what_it_need_not() {
    for overlay in overlays() {
        for (name, pod) in all_pods(&overlay) {
            let spec = &pod["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(spec["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}");
            for container in containers(pod) {
                let context = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                });
                assert_eq!(container["securityContext"], context, "{name}");
                for bound in [&container["resources"]["requests"]["cpu"], &container["resources"]["limits"]["memory"]] {
                    assert!(bound.is_string(), "{name}: {}", container["resources"]);
                }
            }
            if let Some(account) = spec.get("serviceAccountName") {
                assert_eq!(overlay.get("ServiceAccount", &text(account))["automountServiceAccountToken"], false);
            }
        }
        let namespace = overlay.get("Namespace", "seawall");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

#[test]
fn images_are_those_that_compose_builds_and_runs() {
    let compose = compose();
    let of_compose: Vec<String> =
        compose["services"].as_object().unwrap().values().map(|service| text(&service["image"])).collect();
    let release = read("deploy/k8s/prod/release.env");
    let released = |key: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("release.env has no {key}"))
    };
    for overlay in overlays() {
        for (name, pod) in all_pods(&overlay) {
            for container in containers(pod) {
                let image = text(&container["image"]);
                let (repository, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
                if overlay.name == "prod" && container["name"] == "service" {
                    let service = text(&pod["metadata"]["labels"]["app.kubernetes.io/name"]);
                    assert_eq!(repository, format!("{}/{service}", released("registry")), "{name}");
                    assert_eq!(tag, released("tag"), "{name}");
                } else if repository != "otel/opentelemetry-collector" {
                    assert!(of_compose.contains(&image), "{name}: compose has another than {image}");
                } else {
                    assert!(
                        tag.starts_with(|c: char| c.is_ascii_digit()) && tag.contains('.'),
                        "{image} is not pinned"
                    );
                }
            }
        }
    }
}
