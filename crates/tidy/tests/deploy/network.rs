//! Who can connect to whom, found out as a network would that keeps to the NetworkPolicies.

use serde_json::{Value, json};

use crate::objects::{Overlay, overlays, text};
use crate::process::{calls, has_sql, services};

/// A pod of the namespace, or one of another.
struct Peer {
    labels: Value,
    /// The labels of its namespace, if it is another.
    namespace: Option<Value>,
}

impl Peer {
    fn pod(labels: &Value) -> Self {
        Self { labels: labels.clone(), namespace: None }
    }

    fn elsewhere(namespace: Value, labels: Value) -> Self {
        Self { labels, namespace: Some(namespace) }
    }
}

/// Whether a selector selects something with these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    for key in selector.as_object().unwrap().keys() {
        assert!(["matchLabels", "matchExpressions"].contains(&key.as_str()), "{key} is not understood here");
    }
    let by_label = selector["matchLabels"].as_object().into_iter().flatten();
    let by_expression = selector["matchExpressions"].as_array().into_iter().flatten();
    by_label.into_iter().all(|(name, value)| labels.get(name) == Some(value))
        && by_expression.into_iter().all(|expression| {
            let value = labels.get(text(&expression["key"]));
            match text(&expression["operator"]).as_str() {
                "In" => value.is_some_and(|value| expression["values"].as_array().unwrap().contains(value)),
                "Exists" => value.is_some(),
                other => panic!("{other} is not understood here"),
            }
        })
}

/// Whether a rule names somebody; addresses are nobody of the cluster.
fn names(rule: &Value, peer: &Peer) -> bool {
    if rule.get("ipBlock").is_some() {
        return false;
    }
    let namespace = match (rule.get("namespaceSelector"), &peer.namespace) {
        (None, namespace) => namespace.is_none(),
        (Some(selector), namespace) => {
            let own = json!({"kubernetes.io/metadata.name": "seawall"});
            selects(selector, namespace.as_ref().unwrap_or(&own))
        }
    };
    namespace && rule.get("podSelector").is_none_or(|selector| selects(selector, &peer.labels))
}

impl Overlay {
    /// Whether policies of one direction let a pod of the namespace connect to, or be connected to by, a peer.
    fn lets(&self, direction: &str, pod: &Peer, peer: &Peer, port: u16, protocol: &str) -> bool {
        if pod.namespace.is_some() {
            return true;
        }
        let (rules, peers) = match direction {
            "Ingress" => ("ingress", "from"),
            _ => ("egress", "to"),
        };
        let policies: Vec<&Value> = self
            .of_kind("NetworkPolicy")
            .map(|policy| &policy["spec"])
            .filter(|spec| spec["policyTypes"].as_array().unwrap().contains(&direction.into()))
            .filter(|spec| selects(&spec["podSelector"], &pod.labels))
            .collect();
        assert!(!policies.is_empty(), "nothing restricts a pod");
        policies.iter().flat_map(|spec| spec[rules].as_array().into_iter().flatten()).any(|rule| {
            let is_port = |named: &Value| {
                named["port"] == port && named.get("protocol").map_or("TCP".to_owned(), text) == protocol
            };
            rule["ports"].as_array().unwrap().iter().any(is_port)
                && rule[peers].as_array().unwrap().iter().any(|named| names(named, peer))
        })
    }

    fn connects(&self, from: &Peer, to: &Peer, port: u16) -> bool {
        self.lets("Egress", from, to, port, "TCP") && self.lets("Ingress", to, from, port, "TCP")
    }

    /// The pods of a workload whose name begins with its kind.
    fn peer(&self, workload: &str) -> Peer {
        let wanted = format!("{} {workload}", self.name);
        let found = self.workloads().find(|(name, _)| name.starts_with(&wanted));
        Peer::pod(&found.unwrap_or_else(|| panic!("there is no {wanted}")).1["metadata"]["labels"])
    }
}

#[test]
fn services_are_called_by_those_that_say_so_and_by_nobody_else() {
    for overlay in overlays() {
        for callee in services() {
            let to = overlay.peer(&format!("Deployment/{}", callee.name));
            for caller in services() {
                let from = overlay.peer(&format!("Deployment/{}", caller.name));
                let expected = calls(&caller).contains(&callee.name);
                let (here, there) = (&caller.name, &callee.name);
                assert_eq!(overlay.connects(&from, &to, 50051), expected, "{}: {here} to {there}", overlay.name);
                assert!(!overlay.connects(&from, &to, 9464), "{here} can command {there}");
            }
            let outside = |namespace: Value| Peer::elsewhere(namespace, json!({}));
            assert!(!overlay.connects(&outside(json!({"kubernetes.io/metadata.name": "other"})), &to, 50051));
            let edge = json!({format!("seawall.dev/calls-{}", callee.name): "true"});
            assert!(overlay.connects(&outside(edge), &to, 50051), "{} cannot be let out", callee.name);
            let collector = overlay.peer("Deployment/collector");
            assert!(!overlay.connects(&collector, &to, 50051) && !overlay.connects(&collector, &to, 9464));

            let monitoring = outside(json!({"kubernetes.io/metadata.name": "monitoring"}));
            assert!(overlay.connects(&monitoring, &to, 9464) && !overlay.connects(&monitoring, &to, 50051));
        }
    }
}

#[test]
fn everybody_finds_names_and_services_reach_their_database_and_the_collector() {
    for overlay in overlays() {
        let dns =
            Peer::elsewhere(json!({"kubernetes.io/metadata.name": "kube-system"}), json!({"k8s-app": "kube-dns"}));
        for (name, pod) in overlay.workloads() {
            let from = Peer::pod(&pod["metadata"]["labels"]);
            assert!(
                overlay.lets("Egress", &from, &dns, 53, "UDP") && overlay.lets("Egress", &from, &dns, 53, "TCP"),
                "{name}"
            );
            let other = Peer::elsewhere(json!({}), json!({"k8s-app": "kube-dns"}));
            assert!(!overlay.lets("Egress", &from, &other, 53, "UDP"), "{name}");
        }
        let collector = overlay.peer("Deployment/collector");
        for service in services() {
            let mut pods = vec![format!("Deployment/{}", service.name)];
            pods.extend(has_sql(&service).then(|| format!("Job/{}-migration", service.name)));
            for from in pods.iter().map(|pod| overlay.peer(pod)) {
                assert!(overlay.connects(&from, &collector, 4317), "{}", service.name);
                if overlay.name == "dev" {
                    let postgres = overlay.peer("StatefulSet/postgres");
                    assert_eq!(overlay.connects(&from, &postgres, 5432), has_sql(&service), "{}", service.name);
                    assert!(!overlay.connects(&from, &overlay.peer("Deployment/jaeger"), 4317));
                }
            }
        }
        if overlay.name == "dev" {
            assert!(overlay.connects(&collector, &overlay.peer("Deployment/jaeger"), 4317));
            assert!(!overlay.connects(&collector, &overlay.peer("StatefulSet/postgres"), 5432));
        }
    }
}

#[test]
fn a_database_outside_of_the_cluster_is_for_those_that_have_one() {
    for overlay in overlays().iter().filter(|overlay| overlay.name == "prod") {
        let policy = &overlay.get("NetworkPolicy", "sql")["spec"];
        assert!(policy["egress"][0]["to"][0]["ipBlock"]["cidr"].is_string());
        assert_eq!(policy["egress"][0]["ports"], json!([{"port": 5432}]));
        for service in services() {
            let labels = overlay.peer(&format!("Deployment/{}", service.name)).labels;
            assert_eq!(selects(&policy["podSelector"], &labels), has_sql(&service), "{}", service.name);
        }
        assert!(!selects(&policy["podSelector"], &overlay.peer("Deployment/collector").labels));
    }
}
