//! What the image and the programs say of themselves.

use std::process::Command;

use seawall_tidy::{Member, members, read};

/// Where every service listens in its container.
pub(crate) const GRPC_PORT: &str = "50051";
pub(crate) const METRICS_PORT: &str = "9464";

pub(crate) fn services() -> Vec<Member> {
    members().into_iter().filter(|member| member.service().is_some()).collect()
}

/// The services that one calls, by its manifest.
pub(crate) fn calls(service: &Member) -> Vec<String> {
    let calls = service.service().unwrap().get("calls").and_then(toml::Value::as_array);
    calls.into_iter().flatten().map(|callee| callee.as_str().unwrap().to_owned()).collect()
}

/// Whether a service has a database, by its manifest.
pub(crate) fn has_sql(service: &Member) -> bool {
    service.service().unwrap().get("sql").and_then(toml::Value::as_bool).unwrap_or(false)
}

/// The `ENV` of the image.
pub(crate) fn image_variables() -> Vec<(String, String)> {
    let file = read("deploy/Dockerfile").replace("\\\n", " ");
    let (_, image) = file.rsplit_once("\nFROM ").expect("the Dockerfile has a last stage");
    let line = image.lines().find_map(|line| line.strip_prefix("ENV ")).expect("the image has an ENV");
    line.split_whitespace().map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
}

/// The default of a setting, as the service itself lists it.
pub(crate) fn setting(service: &str, key: &str) -> String {
    let listed = Command::new(seawall_testkit::binary(service)).arg("--settings").env_clear().output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let prefix = format!("{key} = \"");
    let value =
        listed.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{key} is not listed"));
    value.trim_end_matches('"').to_owned()
}

/// A duration such as `10s` or `5min`, in seconds.
pub(crate) fn seconds(text: &str) -> u64 {
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let found = number("min").map(|minutes| minutes * 60).or_else(|| number("s"));
    found.unwrap_or_else(|| panic!("{text:?} is not in seconds or minutes"))
}
