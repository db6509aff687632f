//! The objects of an overlay, as kustomize builds them, and what the container of a pod is given by them.

use std::collections::BTreeMap;
use std::process::Command;

use seawall_tidy::root;
use serde_json::Value;

use crate::process::image_variables;

/// Everything that an overlay has.
pub(crate) struct Overlay {
    pub(crate) name: &'static str,
    objects: Vec<Value>,
}

/// Both overlays. None where kustomize is to be left out, as `cargo seawall test` asks for where it cannot
/// be had.
pub(crate) fn overlays() -> Vec<Overlay> {
    if std::env::var("TEST_SKIP_KUBERNETES").is_ok_and(|skip| skip == "1") {
        println!("skipped: kustomize is to be left out");
        return Vec::new();
    }
    ["dev", "prod"].map(Overlay::build).into()
}

impl Overlay {
    fn build(name: &'static str) -> Self {
        let folder = root().join("deploy/k8s").join(name);
        let built = Command::new("kustomize").arg("build").arg(folder).output();
        let built = built.expect("kustomize is not on PATH; `cargo seawall test` gets it and sets PATH");
        assert!(built.status.success(), "{name}: {}", String::from_utf8_lossy(&built.stderr));
        let text = String::from_utf8(built.stdout).unwrap();
        let objects = text.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect("an object is YAML"));
        Self { name, objects: objects.collect() }
    }

    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// # Panics
    /// If there is none.
    pub(crate) fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{}: there is no {kind} {name}", self.name))
    }

    /// What makes pods, each with the template of its pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = (String, &Value)> {
        let makes_pods = |object: &&Value| object["spec"]["template"]["spec"].is_object();
        self.objects.iter().filter(makes_pods).map(|object| {
            let name = format!("{} {}/{}", self.name, text(&object["kind"]), text(&object["metadata"]["name"]));
            (name, &object["spec"]["template"])
        })
    }

    /// The variables of the only container of a pod, as a kubelet resolves them, after those of its image.
    ///
    /// # Panics
    /// If one refers to something that is not there.
    pub(crate) fn environment(&self, pod: &Value) -> BTreeMap<String, String> {
        let container = container(pod);
        let mut environment: BTreeMap<String, String> = image_variables().into_iter().collect();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let map = self.get("ConfigMap", &text(&source["configMapRef"]["name"]));
            environment
                .extend(map["data"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))));
        }
        // Only what stands before a variable can be referred to in it, and only among these.
        let mut earlier = BTreeMap::<String, String>::new();
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = match &variable["value"] {
                Value::Null => self.referred_to(pod, &variable["valueFrom"]),
                value => {
                    assert!(variable["valueFrom"].is_null(), "a variable has two values: {variable}");
                    let resolve =
                        |text: String, (name, value): (&String, &String)| text.replace(&format!("$({name})"), value);
                    earlier.iter().fold(text(value), resolve)
                }
            };
            assert!(!value.contains("$("), "{}: {variable} refers to nothing", self.name);
            earlier.insert(text(&variable["name"]), value);
        }
        environment.extend(earlier);
        environment
    }

    fn referred_to(&self, pod: &Value, from: &Value) -> String {
        if let Some(source) = from.get("configMapKeyRef") {
            return text(&self.get("ConfigMap", &text(&source["name"]))["data"][text(&source["key"])]);
        }
        if let Some(field) = from.get("fieldRef") {
            let path = text(&field["fieldPath"]);
            let label = path.strip_prefix("metadata.labels['").and_then(|rest| rest.strip_suffix("']"));
            return text(&pod["metadata"]["labels"][label.expect("only labels are referred to")]);
        }
        let secret = &from["secretKeyRef"];
        let (name, key) = (text(&secret["name"]), text(&secret["key"]));
        let service = text(&pod["metadata"]["labels"]["app.kubernetes.io/name"]);
        if name == format!("{service}-sql") && key == "url" {
            // The Secret is made by whoever deploys.
            return format!("postgres://{service}:secret@database.example:5432/{service}?sslmode=verify-full");
        }
        assert!(self.get("Secret", &name)["data"][&key].is_string(), "{}: {name} has no {key}", self.name);
        "secret".to_owned()
    }
}

/// The only container of a pod, beside those that come before it.
pub(crate) fn container(pod: &Value) -> &Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// A scalar as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => panic!("a value is missing"),
        other => other.to_string(),
    }
}

/// # Panics
/// If it is none.
pub(crate) fn number(value: &Value) -> u64 {
    text(value).parse().unwrap_or_else(|_| panic!("{value} is no number"))
}
