//! Migrations: by a job for each database, which the processes wait for.

use crate::objects::{container, number, overlays, text};
use crate::process::{has_sql, seconds, services};
use seawall_tidy::read;

#[test]
fn a_job_migrates_and_the_processes_wait_for_it() {
    let release = read("deploy/k8s/prod/release.env");
    let tag = release.lines().find_map(|line| line.strip_prefix("tag=")).unwrap();
    for overlay in overlays() {
        for service in services().iter().filter(|service| has_sql(service)) {
            let name = &service.name;
            let server = &overlay.get("Deployment", name)["spec"]["template"];
            let of_server = overlay.environment(server);
            assert_eq!(of_server["SEAWALL_SQL_MIGRATE"], "false", "{name}");

            // A Job cannot be changed: each release has one of its own, and that of development is soon gone.
            let of_release = if overlay.name == "prod" { format!("-{tag}") } else { String::new() };
            let job = overlay.get("Job", &format!("{name}-migration{of_release}"));
            let pod = &job["spec"]["template"];
            let of_job = overlay.environment(pod);
            assert_eq!(container(pod)["args"], serde_json::json!(["--migrate"]));
            assert_eq!(container(pod)["image"], container(server)["image"]);
            assert_eq!(of_job["SEAWALL_SQL_URL"], of_server["SEAWALL_SQL_URL"]);
            assert!(!of_job.contains_key("SEAWALL_SQL_MIGRATE"), "{name}: it would wait for itself");
            let patience = seconds(&of_job["SEAWALL_SQL_MIGRATE_TIMEOUT"]);
            assert!(number(&job["spec"]["activeDeadlineSeconds"]) > patience, "{name}");
            let kept = number(&job["spec"]["ttlSecondsAfterFinished"]);
            assert_eq!(kept <= 10, overlay.name == "dev", "{name}: {kept} s");
        }
    }
}

#[test]
fn in_development_every_service_has_a_database_of_its_name_in_the_postgresql_that_is_there() {
    for overlay in overlays().iter().filter(|overlay| overlay.name == "dev") {
        let port = text(&overlay.get("Service", "postgres")["spec"]["ports"][0]["port"]);
        for service in services().iter().filter(|service| has_sql(service)) {
            let name = &service.name;
            let pod = &overlay.get("Job", &format!("{name}-migration"))["spec"]["template"];
            let url = format!("postgres://seawall:secret@postgres:{port}/{name}");
            assert_eq!(overlay.environment(pod)["SEAWALL_SQL_URL"], url);
            let makes = &pod["spec"]["initContainers"][0];
            assert!(text(&makes["args"][0]).contains("CREATE DATABASE"), "{name}");
            let given = overlay.get("StatefulSet", "postgres");
            let env = container(&given["spec"]["template"])["env"].as_array().unwrap();
            let user = env.iter().find(|variable| variable["name"] == "POSTGRES_USER").unwrap();
            assert_eq!(user["value"], "seawall");
        }
    }
}
