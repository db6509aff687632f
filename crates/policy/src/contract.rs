//! The methods of the contracts, and what their options declare.

mod descriptor;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use prost::Message as _;
use seawall_retry::Idempotency;

use crate::settings::{Layer, Scope, Source};
use descriptor::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

/// Every method of some contracts, numbered. Clones share the table.
#[derive(Debug, Clone, Default)]
pub struct Contract(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Tells contracts apart; those without methods need none.
    number: u64,
    methods: Vec<Method>,
    /// Every call looks here several times. Nobody outside chooses what is in it, so a quick hash will do.
    by_path: HashMap<Arc<str>, MethodId, RandomState>,
    /// What the options declare for a whole service, by its name.
    services: BTreeMap<String, Layer>,
}

thread_local! {
    /// The method that this thread has found last, with the number of its contract. Each layer of a stack asks for the
    /// method of the same call, one right after the other.
    static LAST: Cell<Option<(u64, MethodId)>> = const { Cell::new(None) };
}

/// Why descriptors cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("descriptor set {index} is no google.protobuf.FileDescriptorSet")]
pub struct ContractError {
    index: usize,
    #[source]
    source: prost::DecodeError,
}

/// A method of a [`Contract`], as a number from 0: the place of what belongs to it in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId(usize);

impl MethodId {
    /// The number.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Where something is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The path of the file, as other contracts import it.
    pub file: Arc<str>,
    /// From 1; 0 where the descriptors have no source information.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// A method as its contract has it.
#[derive(Debug)]
pub struct Method {
    /// `package.Service/Method`.
    pub name: Arc<str>,
    /// The path of its calls: `/package.Service/Method`.
    pub path: Arc<str>,
    /// Whether the client sends a stream.
    pub is_client_streaming: bool,
    /// Whether the server sends a stream.
    pub is_server_streaming: bool,
    /// Which of its calls may be made twice.
    pub idempotency: Idempotency,
    /// The names of the methods that it calls, one for each call, in the order written.
    pub calls: Vec<String>,
    /// Where it is declared.
    pub location: Location,
    pub(crate) declared: Layer,
}

impl Method {
    /// `package.Service`.
    pub fn service(&self) -> &str {
        self.name.split_once('/').map_or("", |(service, _)| service)
    }

    /// Whether either side sends a stream.
    pub fn is_streaming(&self) -> bool {
        self.is_client_streaming || self.is_server_streaming
    }
}

impl Contract {
    /// The methods in encoded `google.protobuf.FileDescriptorSet`s, such as
    /// `seawall_proto::FILE_DESCRIPTOR_SET`. A file that is in several sets counts once.
    ///
    /// Fails if a set cannot be decoded. What its policies say is checked by
    /// [`Policies::try_new`](crate::Policies::try_new).
    pub fn try_new(descriptor_sets: &[&[u8]]) -> Result<Self, ContractError> {
        static CONTRACTS: AtomicU64 = AtomicU64::new(1);
        let mut read = Inner { number: CONTRACTS.fetch_add(1, Ordering::Relaxed), ..Inner::default() };
        let mut files = BTreeSet::new();
        for (index, set) in descriptor_sets.iter().enumerate() {
            let set = FileDescriptorSet::decode(*set).map_err(|source| ContractError { index, source })?;
            for file in &set.file {
                if files.insert(file.name.clone()) {
                    for (at, service) in file.service.iter().enumerate() {
                        read.add(file, at, service);
                    }
                }
            }
        }
        Ok(Self(Arc::new(read)))
    }

    /// The method with this path, `/package.Service/Method`. A thread that asks for the same one again compares the
    /// path and does not hash it.
    pub fn id(&self, path: &str) -> Option<MethodId> {
        if let Some((contract, id)) = LAST.get()
            && contract == self.0.number
            && *self.0.methods[id.0].path == *path
        {
            return Some(id);
        }
        let id = self.0.by_path.get(path).copied()?;
        LAST.set(Some((self.0.number, id)));
        Some(id)
    }

    /// The method with this path, or [`other`](Self::other).
    pub fn id_or_other(&self, path: &str) -> MethodId {
        self.id(path).unwrap_or(self.other())
    }

    /// The number that all paths share which are not in the contract: the one after the last method.
    pub fn other(&self) -> MethodId {
        MethodId(self.0.methods.len())
    }

    /// How many places a table by [`MethodId`] needs: one a method, and one for all other paths.
    pub fn ids(&self) -> usize {
        self.0.methods.len() + 1
    }

    /// What the contract says of a method; `None` for [`other`](Self::other).
    pub fn method(&self, id: MethodId) -> Option<&Method> {
        self.0.methods.get(id.0)
    }

    /// Every method, in the order of its number.
    pub fn methods(&self) -> impl ExactSizeIterator<Item = (MethodId, &Method)> {
        self.0.methods.iter().enumerate().map(|(index, method)| (MethodId(index), method))
    }

    /// The method with this name, `package.Service/Method`.
    pub(crate) fn by_name(&self, name: &str) -> Option<MethodId> {
        self.id(&format!("/{name}"))
    }

    /// The names of the services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.0.services.keys().map(String::as_str)
    }

    /// What the options declare for all methods of a service.
    pub(crate) fn declared_by_service(&self, service: &str) -> Option<&Layer> {
        self.0.services.get(service)
    }
}

impl Inner {
    fn add(&mut self, file: &FileDescriptorProto, at: usize, service: &ServiceDescriptorProto) {
        let dot = if file.package.is_empty() { "" } else { "." };
        let full_name = format!("{}{dot}{}", file.package, service.name);
        let options = service.options.as_ref().and_then(|options| options.policy.as_ref());
        let source = Source::contract(file.location_of_service(at), Scope::Service, &full_name);
        self.services.insert(full_name.clone(), options.map(|policy| policy.layer(&source)).unwrap_or_default());

        for (index, method) in service.method.iter().enumerate() {
            let name = format!("{full_name}/{}", method.name);
            let location = file.location_of_method(at, index);
            let options = method.options.clone().unwrap_or_default();
            let policy = options.policy.clone().unwrap_or_default();
            let declared = policy.layer(&Source::contract(location.clone(), Scope::Method, &name));
            let path: Arc<str> = format!("/{name}").into();
            self.by_path.insert(path.clone(), MethodId(self.methods.len()));
            self.methods.push(Method {
                name: name.into(),
                path,
                is_client_streaming: method.client_streaming,
                is_server_streaming: method.server_streaming,
                idempotency: options.idempotency(),
                calls: policy.calls,
                location,
                declared,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_contract_was_asked_for_last_is_not_taken_for_anothers() {
        let all = prost_types::FileDescriptorSet::decode(seawall_proto::FILE_DESCRIPTOR_SET).unwrap();
        let some = all.file.iter().filter(|file| file.package() == "seawall.user.v1").cloned().collect();
        let some = prost_types::FileDescriptorSet { file: some }.encode_to_vec();
        let contracts = [seawall_proto::FILE_DESCRIPTOR_SET, &some].map(|set| Contract::try_new(&[set]).unwrap());
        assert_ne!(contracts[0].ids(), contracts[1].ids());
        let paths: Vec<Arc<str>> = contracts[0].methods().map(|(_, method)| method.path.clone()).collect();
        for path in paths.iter().map(|path| &**path).chain(["/nobody.Knows/This"]).cycle().take(3 * paths.len()) {
            for contract in contracts.iter().chain(&contracts) {
                let found = contract.methods().find(|(_, method)| *method.path == *path).map(|(id, _)| id);
                assert_eq!(contract.id(path), found, "{path}");
            }
        }
    }
}
