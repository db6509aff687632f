//! The order in which services start: those that are called before those that call them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::workspace::Service;

/// The services named by `wanted` (all, if it is empty) and everything they call, callees first.
///
/// Fails if a name is unknown or if services call each other in a circle.
pub(crate) fn start_order(services: &[Service], wanted: &[String]) -> Result<Vec<Service>> {
    if services.is_empty() {
        bail!("no services here: none of services/*/Cargo.toml has [package.metadata.seawall]");
    }
    let mut walk = Walk {
        by_name: services.iter().map(|service| (service.name.as_str(), service)).collect(),
        path: Vec::new(),
        ordered: Vec::new(),
    };
    let all = services.iter().map(|service| service.name.as_str());
    let wanted: Vec<&str> = if wanted.is_empty() { all.collect() } else { wanted.iter().map(String::as_str).collect() };
    for name in wanted {
        walk.visit(name, None)?;
    }
    Ok(walk.ordered.into_iter().cloned().collect())
}

/// A depth-first walk along the calls.
struct Walk<'a> {
    by_name: BTreeMap<&'a str, &'a Service>,
    /// From the service we began with to the one we are at.
    path: Vec<&'a str>,
    ordered: Vec<&'a Service>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a str, caller: Option<&str>) -> Result<()> {
        let Some(service) = self.by_name.get(name).copied() else {
            let known: Vec<&str> = self.by_name.keys().copied().collect();
            let known = known.join(", ");
            match caller {
                Some(caller) => bail!(
                    "{caller} says that it calls {name:?}, which is no service of this workspace ({known}); \
                     correct `calls` in services/{caller}/Cargo.toml"
                ),
                None => bail!("{name:?} is no service of this workspace; there are: {known}"),
            }
        };
        if self.ordered.iter().any(|done| done.name == name) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|visited| *visited == name) {
            let circle = [&self.path[start..], &[name]].concat().join(" → ");
            bail!("services call each other in a circle, so none can start first: {circle}; drop one of these `calls`");
        }
        self.path.push(name);
        for callee in &service.metadata.calls {
            self.visit(callee, Some(name))?;
        }
        self.path.pop();
        self.ordered.push(service);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Metadata;

    fn service(name: &str, calls: &[&str]) -> Service {
        let calls = calls.iter().map(|name| (*name).to_owned()).collect();
        Service { name: name.into(), manifest: "".into(), metadata: Metadata { calls, ..Metadata::default() } }
    }

    fn names(services: &[Service], wanted: &[&str]) -> Result<Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Ok(start_order(services, &wanted)?.into_iter().map(|service| service.name).collect())
    }

    #[test]
    fn callees_come_first() {
        let shop = [service("gateway", &["order", "user"]), service("order", &["user"]), service("user", &[])];
        assert_eq!(names(&shop, &[]).unwrap(), ["user", "order", "gateway"]);
    }

    #[test]
    fn a_wanted_service_brings_what_it_calls_and_nothing_else() {
        let shop = [service("gateway", &["order"]), service("order", &["user"]), service("user", &[])];
        assert_eq!(names(&shop, &["order"]).unwrap(), ["user", "order"]);
    }

    #[test]
    fn a_circle_is_shown() {
        let circle = [service("a", &["b"]), service("b", &["c"]), service("c", &["b"])];
        let message = names(&circle, &[]).unwrap_err().to_string();
        assert!(message.contains("b → c → b"), "{message}");
    }

    #[test]
    fn unknown_names_are_told_with_those_that_exist() {
        let shop = [service("order", &["usr"]), service("user", &[])];
        let message = names(&shop, &[]).unwrap_err().to_string();
        assert!(message.contains("services/order/Cargo.toml") && message.contains("order, user"), "{message}");
        assert!(names(&shop, &["payment"]).unwrap_err().to_string().contains("\"payment\" is no service"));
    }
}
