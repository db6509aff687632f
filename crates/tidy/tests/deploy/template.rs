//! The folders of the services to copy are, in the base, what the template makes of them.

use std::collections::BTreeSet;

use seawall_tidy::{Member, files, read, root};

use crate::process::{calls, has_sql, services};

/// Whoever adds a service may well change what it was given.
const EXAMPLES: [&str; 2] = ["user", "order"];
const TEMPLATE: &str = "templates/service/deploy/k8s/base/__name__";

/// What a template becomes for a service. Its marks are those of `cargo seawall new`, as far as they stand here.
fn filled_in(template: &str, service: &Member) -> String {
    let calls = calls(service);
    let holds = |flag: &str| match flag {
        "sql" => has_sql(service),
        "calls" => !calls.is_empty(),
        other => panic!("{other} is not understood here"),
    };
    let mut text = String::new();
    // Whether each open section is there, and the lines of the one that is repeated.
    let (mut open, mut repeated) = (Vec::<bool>::new(), None::<String>);
    for line in template.lines() {
        let words: Vec<&str> = line.trim().strip_prefix("#%").into_iter().flat_map(str::split_whitespace).collect();
        match words.as_slice() {
            ["if", flag] => open.push(holds(flag)),
            ["else"] => *open.last_mut().unwrap() ^= true,
            ["each", "calls"] => repeated = Some(String::new()),
            ["end"] => match repeated.take() {
                Some(lines) => {
                    let of =
                        |callee: &String| lines.replace("__peer__", callee).replace("__PEER__", &callee.to_uppercase());
                    text.extend(calls.iter().map(of));
                }
                None => drop(open.pop().expect("something is open")),
            },
            [] if open.iter().all(|there| *there) => {
                let into = repeated.as_mut().unwrap_or(&mut text);
                into.push_str(&line.replace("__name__", &service.name));
                into.push('\n');
            }
            [] => {}
            _ => panic!("{line} is not understood here"),
        }
    }
    text
}

#[test]
fn what_the_base_has_of_an_example_is_what_the_template_makes_of_it() {
    let services = services();
    let examples: Vec<&Member> = services.iter().filter(|it| EXAMPLES.contains(&it.name.as_str())).collect();
    assert_eq!(examples.len(), EXAMPLES.len());
    for service in examples {
        let base = format!("deploy/k8s/base/{}", service.name);
        let mut expected = BTreeSet::new();
        for template in files(TEMPLATE, ".yaml") {
            let text = filled_in(&read(&template), service);
            if !text.is_empty() {
                let path = template.replace(TEMPLATE, &base);
                assert_eq!(read(&path), text, "{path} and {template} are not the same");
                expected.insert(path);
            }
        }
        assert_eq!(files(&base, "").into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn the_base_lists_every_service() {
    let list = read("deploy/k8s/base/kustomization.yaml");
    let part = read("templates/parts/deploy/k8s/base/kustomization.yaml");
    for service in services() {
        assert!(list.contains(&part.replace("__name__", &service.name)), "{} is not listed", service.name);
    }
    let mark = "# cargo seawall new adds above this line";
    assert!(list.trim_end().ends_with(mark), "there is no place for a further one");
    for entry in root().join("deploy/k8s/base").read_dir().unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        let is_known = name == "collector" || services().iter().any(|service| service.name == name);
        assert!(is_known, "deploy/k8s/base/{name} is of no service");
    }
}
