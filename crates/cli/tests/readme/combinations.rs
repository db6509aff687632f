//! Every combination of what `new` takes: made, built, linted, tested, started and called, all by the same runs of
//! cargo, and removed. One service that is called is a case of two.

use serde_json::Value;

use crate::{Copy, root};

/// What was asked of `new`.
struct Combination {
    name: String,
    flags: String,
    store: &'static str,
    is_streaming: bool,
}

/// All but that of `billing`, which the README makes without any flag.
fn further() -> Vec<Combination> {
    let mut all = Vec::new();
    for store in ["sql", "none"] {
        for calls in ["", "user,order"] {
            for stream in ["", "stream"] {
                let name = format!("new{store}{}{stream}", calls.replace(',', ""));
                let mut flags = format!("--store {store}");
                if !calls.is_empty() {
                    flags += &format!(" --calls {calls}");
                }
                if !stream.is_empty() {
                    flags += " --stream";
                }
                all.push(Combination { name, flags, store, is_streaming: !stream.is_empty() });
            }
        }
    }
    all.remove(0);
    all
}

/// The lines that `up` prints for a service to be tried, with the addresses that it has.
fn examples(copy: &Copy, running: &Value, name: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(copy.folder.join(format!("services/{name}/Cargo.toml"))).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let services = running["services"].as_array().unwrap();
    let address = services.iter().find(|service| service["name"] == name).unwrap()["address"].as_str().unwrap();
    let examples = manifest["package"]["metadata"]["seawall"]["examples"].as_array().unwrap();
    examples.iter().map(|line| line.as_str().unwrap().replace(&format!("{{{name}}}"), address)).collect()
}

/// `billing` is there and has been linted and tested.
pub(crate) fn of_every_kind(copy: &Copy) {
    let further = further();
    let seawall = "\"$CARGO_TARGET_DIR\"/debug/cargo-seawall";
    let new = further.iter().map(|it| format!("{seawall} new {} {}", it.name, it.flags));
    copy.run(&new.collect::<Vec<_>>());
    copy.run(&[
        format!("{seawall} add rpc billing.Charge --request item_id:string,amount:int64 --response receipt_id:string"),
        format!("{seawall} add rpc newnonestream.Guess --response item:Item --reads"),
        format!("{seawall} add rpc user.Rename --request user_id:string,name:string"),
        format!("{seawall} add rpc order.Track --request order_id:string --response place:string --reads"),
        format!("{seawall} lint --only policy"),
        format!("{seawall} lint --only auth"),
        "cargo fmt --all --check".to_owned(),
    ]);
    let names: Vec<&str> = further.iter().map(|it| it.name.as_str()).chain(["billing"]).collect();
    let packages: String = names.iter().map(|name| format!(" --package {name}")).collect();
    // Those of user and order have a further method, too, and what stands in for them in tests.
    copy.run(&[format!(
        "cargo clippy --quiet{packages} --package user --package order --package seawall-client --all-targets -- \
         --deny warnings"
    )]);
    let tests: String = names.iter().map(|name| format!(" --test {name}")).collect();
    copy.run(&[format!("cargo test --quiet{packages} --lib{tests}")]);

    copy.run(&[format!("{seawall} up --detach")]);
    let running: Value = serde_json::from_str(&copy.run(&[format!("{seawall} ps --json")])).unwrap();
    for service in running["services"].as_array().unwrap() {
        assert_eq!(service["state"], "serving", "{service}");
    }
    // Of user and order first, which say who is called.
    let asked: Vec<&str> = ["user", "order"].into_iter().chain(names.iter().copied()).collect();
    let calls: Vec<String> = asked.iter().flat_map(|name| examples(copy, &running, name)).collect();
    let answers = copy.run(&calls);
    // Each creates or checks an item of this title; what streams, exports it or checks two.
    let streaming = |store: &str| further.iter().filter(|it| it.store == store && it.is_streaming).count();
    assert_eq!(answers.matches("\"title\": \"first\"").count(), names.len() + streaming("sql") + streaming("none"));
    assert_eq!(answers.matches("\"title\": \"second\"").count(), streaming("none"));
    copy.run(&[format!("{seawall} down")]);
    // What is in docker-compose.yml and the manifests for Kubernetes is as it has to be.
    copy.run(&["cargo test --quiet --package seawall-tidy --test deploy".to_owned()]);

    copy.run(&names.iter().map(|name| format!("{seawall} rm {name} --force")).collect::<Vec<_>>());
    for path in ["Cargo.lock", "docker-compose.yml", "deploy/postgres/databases.sql"] {
        let read = |root: &std::path::Path| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read(&copy.folder), read(&root()), "{path} is not as it was");
    }
}
