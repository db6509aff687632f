//! Which method is meant.

use anyhow::{Context, Result, bail};
use prost_reflect::MethodDescriptor;
use tonic::codegen::http::uri::PathAndQuery;

use super::nearest::{did_you_mean, nearest};
use super::reflection::Contracts;
use crate::terminal::{self, BOLD, DIM, styled};

/// The method that `text` names: `PlaceOrder`, `OrderService/PlaceOrder`, or with its package.
///
/// # Errors
/// If there is none, or several, with what there is.
pub(crate) fn find(contracts: &Contracts, text: &str) -> Result<MethodDescriptor> {
    let wanted = text.trim_start_matches('/');
    let (service, name) = match wanted.rsplit_once(['/', '.']) {
        Some((service, name)) => (Some(service), name),
        None => (None, wanted),
    };
    let is_of = |method: &MethodDescriptor| {
        let full = method.parent_service().full_name().to_owned();
        service.is_none_or(|service| full == service || full.ends_with(&format!(".{service}")))
    };
    let all: Vec<MethodDescriptor> =
        contracts.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let named: Vec<&MethodDescriptor> = all.iter().filter(|method| method.name() == name && is_of(method)).collect();
    match &named[..] {
        [one] => Ok((*one).clone()),
        [] => Err(unknown(text, name, &all)),
        several => {
            let names: Vec<String> = several.iter().map(|method| short(method)).collect();
            bail!("{text} is a method of several services; say which: {}", names.join(", "))
        }
    }
}

fn unknown(text: &str, name: &str, all: &[MethodDescriptor]) -> anyhow::Error {
    let hint = match nearest(name, all.iter().map(MethodDescriptor::name)) {
        // The method is right, so the service was not.
        Some(close) if close == name => {
            let there = all.iter().find(|method| method.name() == close).map(short).unwrap_or_default();
            format!("; did you mean {there}?")
        }
        _ => did_you_mean(name, all.iter().map(MethodDescriptor::name)),
    };
    let ours = all.iter().filter(|method| !is_infrastructure(method));
    let names: Vec<&str> = ours.map(MethodDescriptor::name).collect();
    anyhow::anyhow!("there is no method {text}{hint}\n  methods: {}", names.join(", "))
}

/// `Service/Method`, without the package.
fn short(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

/// What every server has.
fn is_infrastructure(method: &MethodDescriptor) -> bool {
    method.parent_service().full_name().starts_with("grpc.")
}

/// The path of calls of a method.
pub(crate) fn path(method: &MethodDescriptor) -> Result<PathAndQuery> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    PathAndQuery::try_from(path).context("the name of the method is none")
}

/// Prints the methods of every service.
pub(crate) fn list(contracts: &Contracts, target: &str) -> Result<()> {
    for service in contracts.services() {
        terminal::print(styled(BOLD, service.full_name()))?;
        let width = service.methods().map(|method| method.name().chars().count()).max().unwrap_or(0);
        for method in service.methods() {
            let stream = |is_stream| if is_stream { "stream " } else { "" };
            let (takes, answers) = (stream(method.is_client_streaming()), stream(method.is_server_streaming()));
            let types = format!("{takes}{} → {answers}{}", method.input().name(), method.output().name());
            terminal::print(format!("  {:width$}  {}", method.name(), styled(DIM, types)))?;
        }
    }
    terminal::print("")?;
    terminal::print(styled(DIM, format!("what one takes and answers: cargo seawall call {target} METHOD --describe")))
}
