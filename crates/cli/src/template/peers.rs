//! What the contracts say of the services that a new one calls: the method that says whether something is
//! there, by its id.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use protox::prost_reflect::{DescriptorPool, Kind, MethodDescriptor, ServiceDescriptor};
use seawall_policy::{Contract, Policies};

use crate::lint::descriptors;
use crate::workspace::Workspace;

/// `NO_SIDE_EFFECTS` of `google.protobuf.MethodOptions.IdempotencyLevel`.
const NO_SIDE_EFFECTS: i32 = 1;

/// A service to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) package: String,
    /// Names without the package.
    pub(super) service: String,
    pub(super) method: String,
    pub(super) request: String,
    pub(super) response: String,
    /// The field of the request.
    pub(super) field: String,
    /// What the method reads: its name without `Get`.
    pub(super) thing: String,
    pub(super) budget: Duration,
}

/// The services of these names, in their order.
pub(super) fn find(root: &Path, package: &str, names: &[String]) -> Result<Vec<Peer>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = Workspace::at(root)?;
    let encoded = descriptors(&root.join("proto"))?;
    let pool = DescriptorPool::decode(encoded.as_slice()).context("the contracts are not understood")?;
    let policies = Policies::try_new(Contract::try_new(&[&encoded])?, None)?;
    names.iter().map(|name| peer(&workspace, &pool, &policies, package, name)).collect()
}

fn peer(workspace: &Workspace, pool: &DescriptorPool, policies: &Policies, package: &str, name: &str) -> Result<Peer> {
    let service = workspace.service(name)?;
    let package = format!("{package}.{name}.v1");
    let methods = pool.services().filter(|theirs| theirs.package_name() == package);
    let found = methods.flat_map(|theirs| methods_of(&theirs)).find_map(|method| field(&method).map(|it| (method, it)));
    let (method, field) = found.with_context(|| {
        format!(
            "{package} has no method to ask whether something is there: one named Get…, without side effects, whose \
             request has one field, an id; begin without `--calls {name}`"
        )
    })?;
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let budget = policies.by_path(&path).budget;
    Ok(Peer {
        name: name.to_owned(),
        port: service.metadata.port,
        service: method.parent_service().name().to_owned(),
        thing: method.name().trim_start_matches("Get").to_owned(),
        request: method.input().name().to_owned(),
        response: method.output().name().to_owned(),
        budget: budget.with_context(|| format!("{path} has no budget; its contract must say one"))?,
        method: method.name().to_owned(),
        field,
        package,
    })
}

fn methods_of(service: &ServiceDescriptor) -> Vec<MethodDescriptor> {
    service.methods().collect()
}

/// The one field of the method's request, if it is a method that reads something by its id.
fn field(method: &MethodDescriptor) -> Option<String> {
    let proto = method.method_descriptor_proto();
    let reads = proto.options.as_ref().is_some_and(|options| options.idempotency_level == Some(NO_SIDE_EFFECTS));
    let is_get = method.name().strip_prefix("Get").is_some_and(|thing| !thing.is_empty());
    let is_local = [method.input(), method.output()]
        .iter()
        .all(|message| message.package_name() == method.parent_service().package_name());
    let is_unary = !method.is_client_streaming() && !method.is_server_streaming();
    let input = method.input();
    let mut fields = input.fields();
    let (first, second) = (fields.next()?, fields.next());
    let is_id = second.is_none() && !first.is_list() && first.kind() == Kind::String && first.name().ends_with("_id");
    (reads && is_get && is_local && is_unary && is_id).then(|| first.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_of_this_workspace_can_be_called() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names = ["user", "order"].map(str::to_owned);
        let found = find(&root, "seawall", &names).unwrap();
        let [user, order] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (user.service.as_str(), user.method.as_str(), user.field.as_str()),
            ("UserService", "GetUser", "user_id")
        );
        assert_eq!(user.budget, Duration::from_millis(500));
        assert_eq!((order.package.as_str(), order.thing.as_str()), ("seawall.order.v1", "Order"));
        let unknown = find(&root, "seawall", &["nobody".to_owned()]).unwrap_err().to_string();
        assert!(unknown.contains("nobody") && unknown.contains("order, user"), "{unknown}");
    }
}
