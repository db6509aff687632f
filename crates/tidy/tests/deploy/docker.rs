//! The Dockerfile and `docker-compose.yml` agree with each other and with the code.

use std::collections::BTreeMap;
use std::process::Command;

use seawall_tidy::{read, root, toml};
use serde_json::Value;

use crate::process::{GRPC_PORT, METRICS_PORT, calls, has_sql, image_variables, seconds, services, setting};

pub(crate) fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

/// What `NAME=value` pairs a compose service is given, the image's own first.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let image = image_variables();
    let own = service["environment"].as_object().into_iter().flatten();
    image.into_iter().chain(own.map(|(name, value)| (name.clone(), text(value)))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn compose_runs_every_service_with_settings_that_the_service_accepts() {
    let compose = compose();
    for service in services() {
        let entry = &compose["services"][&service.name];
        assert_eq!(entry["build"]["args"]["SERVICE"], service.name.as_str(), "{}: the build argument", service.name);
        assert_eq!(entry["build"]["context"], ".");
        let dockerfile = entry["build"]["dockerfile"].as_str().unwrap();
        assert!(root().join(dockerfile).is_file(), "{dockerfile} does not exist");
        assert_eq!(
            entry["image"],
            format!("seawall/{}:dev", service.name).as_str(),
            "{}: what others call it",
            service.name
        );

        let checked = Command::new(seawall_testkit::binary(&service.name))
            .arg("--check")
            .env_clear()
            .envs(environment(entry))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}: {}", service.name, String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn compose_gives_each_service_the_ports_and_peers_that_its_manifest_names() {
    let compose = compose();
    for service in services() {
        let entry = &compose["services"][&service.name];
        let about = service.service().unwrap();
        let published: Vec<String> = entry["ports"].as_array().unwrap().iter().map(text).collect();
        let expected = [("port", GRPC_PORT), ("metrics_port", METRICS_PORT)]
            .map(|(key, inside)| format!("127.0.0.1:{}:{inside}", about[key].as_integer().unwrap()));
        assert_eq!(published, expected, "{}", service.name);

        let environment = environment(entry);
        assert_eq!(environment["SEAWALL_SERVER_LISTEN"], format!("0.0.0.0:{GRPC_PORT}"));
        assert_eq!(environment["SEAWALL_SERVER_METRICS_LISTEN"], format!("0.0.0.0:{METRICS_PORT}"));
        assert_eq!(environment["SEAWALL_TELEMETRY_OTLP_ENDPOINT"], "http://jaeger:4317");
        for callee in calls(&service) {
            let variable = format!("SEAWALL_{}_ADDRESS", callee.to_uppercase());
            assert_eq!(environment[&variable], format!("http://{callee}:{GRPC_PORT}"), "{}", service.name);
            assert_eq!(entry["depends_on"][&callee]["condition"], "service_healthy", "{}", service.name);
        }
        for backend in ["postgres", "jaeger"].iter().filter(|backend| **backend == "jaeger" || has_sql(&service)) {
            assert!(entry["depends_on"][backend].is_object(), "{} must wait for {backend}", service.name);
        }
    }
}

#[test]
fn a_service_started_by_hand_takes_the_ports_that_its_manifest_names() {
    for service in services() {
        let about = service.service().unwrap();
        for (key, listen) in [("port", "listen"), ("metrics_port", "metrics_listen")] {
            assert_eq!(setting(&service.name, listen), format!("127.0.0.1:{}", about[key].as_integer().unwrap()));
        }
    }
}

#[test]
fn every_service_has_a_database_of_its_own() {
    let compose = compose();
    let postgres = &compose["services"]["postgres"]["environment"];
    let scripts = read("deploy/postgres/databases.sql");
    for service in services().iter().filter(|service| has_sql(service)) {
        let url = text(&compose["services"][&service.name]["environment"]["SEAWALL_SQL_URL"]);
        let expected = format!(
            "postgres://{}:{}@postgres:5432/{}",
            text(&postgres["POSTGRES_USER"]),
            text(&postgres["POSTGRES_PASSWORD"]),
            service.name
        );
        assert_eq!(url, expected);
        let made = postgres["POSTGRES_DB"] == service.name.as_str()
            || scripts.contains(&format!("CREATE DATABASE \"{}\"", service.name));
        assert!(made, "nobody creates the database {}", service.name);
    }
}

#[test]
fn every_path_and_volume_exists_and_every_image_is_pinned() {
    let compose = compose();
    for (name, entry) in compose["services"].as_object().unwrap() {
        for volume in entry["volumes"].as_array().into_iter().flatten().map(text) {
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name}: {source} does not exist");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: the volume {source} is not declared");
            }
        }
        if let (Some(image), true) = (entry["image"].as_str(), entry["build"].is_null()) {
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            assert!(
                tag.starts_with(|c: char| c.is_ascii_digit()) && tag.contains('.'),
                "{name}: {image} is not pinned"
            );
        }
    }
}

#[test]
fn a_container_is_given_the_time_that_a_drain_takes() {
    let drain = seconds(&setting("user", "drain_timeout"));
    let compose = compose();
    for service in services() {
        let grace = seconds(&text(&compose["services"][&service.name]["stop_grace_period"]));
        assert!(grace > drain + 1, "{}: {grace} s do not cover a drain of {drain} s and one second", service.name);
    }
}

#[test]
fn the_dockerfile_builds_with_our_toolchain_from_files_that_reach_it() {
    let dockerfile = read("deploy/Dockerfile");
    let channel = toml("rust-toolchain.toml")["toolchain"]["channel"].as_str().unwrap().to_owned();
    for expected in [format!("FROM rust:{channel}-"), format!("ENV RUSTUP_TOOLCHAIN={channel}\n")] {
        assert!(dockerfile.contains(&expected), "the Dockerfile lacks {expected}");
    }
    let rust = toml("Cargo.toml")["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(channel.starts_with(&rust), "rust-toolchain.toml has {channel}, Cargo.toml {rust}");

    let sent = read(".dockerignore");
    for needed in ["Cargo.toml", "Cargo.lock", "proto", "crates", "services"] {
        assert!(sent.lines().any(|line| line == format!("!{needed}")), ".dockerignore keeps {needed} out of the build");
        assert!(root().join(needed).exists(), "{needed} does not exist");
    }
    for expected in
        [format!("EXPOSE {GRPC_PORT} {METRICS_PORT}"), "USER nonroot".into(), r#"CMD ["/service", "--probe"]"#.into()]
    {
        assert!(dockerfile.contains(&expected), "the Dockerfile lacks {expected}");
    }
}
