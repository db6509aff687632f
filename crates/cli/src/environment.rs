//! The environment that a service is started with.
//!
//! A service inherits what you have set. Of the `SEAWALL_*` variables it gets those that it can
//! know, because it refuses the others: `SEAWALL_USER_*` goes to services that call `user`,
//! `SEAWALL_SQL_*` to those with SQL. What `up` itself hands over wins.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::workspace::Service;

const PREFIX: &str = "SEAWALL_";
/// What holds unless you set another.
const DEFAULTS: [(&str, &str); 3] = [
    // Less than what `up` itself gives services to end, so that they end by themselves.
    ("SEAWALL_SERVER_DRAIN_TIMEOUT", "3s"),
    // This is development: tools may ask for contracts, and policies may be looked at and commanded.
    ("SEAWALL_SERVER_REFLECTION", "true"),
    ("SEAWALL_SERVER_ADMIN", "write"),
];

/// Where a service and its surroundings are.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: SocketAddr,
    /// Of every service that runs, by name.
    pub(crate) addresses: &'a BTreeMap<String, SocketAddr>,
    /// Of every service of the workspace.
    pub(crate) known: &'a [Service],
    pub(crate) otlp: Option<SocketAddr>,
    pub(crate) sql_url: Option<String>,
    pub(crate) redis_url: Option<String>,
    /// The settings of TLS, if that is spoken, by the names of variables without their beginning.
    pub(crate) tls: Option<Vec<(String, String)>>,
}

/// What is to be set, and what of `inherited` is to be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) remove: Vec<String>,
}

/// The changes to the inherited environment that `service` is started with.
pub(crate) fn changes(
    service: &Service,
    around: &Surroundings<'_>,
    inherited: impl IntoIterator<Item = String>,
) -> Changes {
    let inherited: Vec<String> = inherited.into_iter().collect();
    let mut set = BTreeMap::new();
    for (name, value) in DEFAULTS {
        if !inherited.iter().any(|inherited| inherited == name) {
            set.insert(name.to_owned(), value.to_owned());
        }
    }
    let mut hand_over = |name: &str, value: String| set.insert(format!("{PREFIX}{name}"), value);
    hand_over("SERVER_LISTEN", around.listen.to_string());
    hand_over("SERVER_METRICS_LISTEN", around.metrics_listen.to_string());
    let scheme = if around.tls.is_some() { "https" } else { "http" };
    for callee in &service.metadata.calls {
        if let Some(address) = around.addresses.get(callee) {
            hand_over(&format!("{}_ADDRESS", variable(callee)), format!("{scheme}://{address}"));
        }
    }
    if let Some(otlp) = around.otlp {
        hand_over("TELEMETRY_OTLP_ENDPOINT", format!("http://{otlp}"));
    }
    if let Some(url) = around.sql_url.as_ref().filter(|_| service.metadata.sql) {
        hand_over("SQL_URL", url.clone());
    }
    if let Some(url) = around.redis_url.as_ref().filter(|_| service.metadata.redis) {
        hand_over("REDIS_URL", url.clone());
    }
    for (name, value) in around.tls.iter().flatten() {
        hand_over(name, value.clone());
    }
    let foreign = foreign_sections(service, around.known);
    let remove = inherited.into_iter().filter(|name| foreign.iter().any(|section| name.starts_with(section)));
    Changes { set, remove: remove.collect() }
}

/// The beginnings of variables that `service` would refuse.
fn foreign_sections(service: &Service, known: &[Service]) -> Vec<String> {
    let uncalled = known.iter().map(|other| &other.name).filter(|name| !service.metadata.calls.contains(name));
    let mut sections: Vec<String> = uncalled.map(|name| format!("{PREFIX}{}_", variable(name))).collect();
    for (wanted, section) in [(service.metadata.sql, "SQL_"), (service.metadata.redis, "REDIS_")] {
        if !wanted {
            sections.push(format!("{PREFIX}{section}"));
        }
    }
    sections
}

fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Metadata;

    fn shop() -> [Service; 2] {
        let user = Metadata { sql: true, ..Metadata::default() };
        let order = Metadata { calls: vec!["user".into()], redis: true, ..Metadata::default() };
        [("user", user), ("order", order)].map(|(name, metadata)| Service {
            name: name.into(),
            manifest: "".into(),
            metadata,
        })
    }

    fn compose(service: usize, inherited: &[&str]) -> Changes {
        compose_with(service, inherited, None)
    }

    fn compose_with(service: usize, inherited: &[&str], tls: Option<Vec<(String, String)>>) -> Changes {
        let shop = shop();
        let addresses = BTreeMap::from([("user".to_owned(), SocketAddr::from(([127, 0, 0, 1], 50051)))]);
        let around = Surroundings {
            listen: ([127, 0, 0, 1], 1).into(),
            metrics_listen: ([127, 0, 0, 1], 2).into(),
            addresses: &addresses,
            known: &shop,
            otlp: Some(([127, 0, 0, 1], 4317).into()),
            sql_url: Some("sqlite:///x/user.db".into()),
            redis_url: Some("redis://127.0.0.1:6379".into()),
            tls,
        };
        changes(&shop[service], &around, inherited.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_callee_gets_its_storage_and_no_addresses() {
        let expected = [
            ("SEAWALL_SERVER_ADMIN", "write"),
            ("SEAWALL_SERVER_DRAIN_TIMEOUT", "3s"),
            ("SEAWALL_SERVER_LISTEN", "127.0.0.1:1"),
            ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:2"),
            ("SEAWALL_SERVER_REFLECTION", "true"),
            ("SEAWALL_SQL_URL", "sqlite:///x/user.db"),
            ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
        ];
        let set: Vec<_> = compose(0, &[]).set.into_iter().collect();
        assert_eq!(set, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_caller_gets_the_addresses_of_its_callees_and_redis_if_it_wants_it() {
        let set = compose(1, &[]).set;
        assert_eq!(set["SEAWALL_USER_ADDRESS"], "http://127.0.0.1:50051");
        assert_eq!(set["SEAWALL_REDIS_URL"], "redis://127.0.0.1:6379");
        assert!(!set.contains_key("SEAWALL_SQL_URL"));
    }

    #[test]
    fn what_you_have_set_of_the_defaults_is_left_alone() {
        for (name, _) in DEFAULTS {
            let changes = compose(0, &[name]);
            assert!(!changes.set.contains_key(name) && changes.remove.is_empty(), "{name}");
        }
    }

    #[test]
    fn with_tls_callees_are_called_by_it() {
        let set = compose_with(1, &[], Some(vec![("TLS_CA".into(), "/ca.pem".into())])).set;
        assert_eq!(set["SEAWALL_USER_ADDRESS"], "https://127.0.0.1:50051");
        assert_eq!(set["SEAWALL_TLS_CA"], "/ca.pem");
    }

    #[test]
    fn variables_of_others_are_removed_because_a_service_refuses_them() {
        let inherited = ["SEAWALL_USER_TIMEOUT", "SEAWALL_SQL_SIZE_MAX", "SEAWALL_TELEMETRY_SAMPLE_RATIO", "PATH"];
        assert_eq!(compose(0, &inherited).remove, ["SEAWALL_USER_TIMEOUT"]);
        assert_eq!(compose(1, &inherited).remove, ["SEAWALL_SQL_SIZE_MAX"]);
    }
}
