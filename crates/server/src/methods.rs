//! The methods of the contracts, by path.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::ServeError;

/// What a contract says of a method.
#[derive(Debug)]
struct Method {
    /// `package.Service/Method`.
    name: Arc<str>,
    is_streaming: bool,
}

/// Every method of the contracts, and those of health and reflection. Clones share the table.
#[derive(Debug, Clone)]
pub(crate) struct Methods(Arc<HashMap<String, Method>>);

impl Methods {
    pub(crate) fn try_new(descriptors: &[u8]) -> Result<Self, ServeError> {
        let mut table = HashMap::new();
        let sets = [
            descriptors,
            seawall_health::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        for set in sets {
            let set = FileDescriptorSet::decode(set).map_err(ServeError::Descriptors)?;
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                        let is_streaming = method.client_streaming() || method.server_streaming();
                        table.insert(format!("/{name}"), Method { name: name.into(), is_streaming });
                    }
                }
            }
        }
        Ok(Self(Arc::new(table)))
    }

    /// The name of the method at `path`, if there is one.
    pub(crate) fn name(&self, path: &str) -> Option<Arc<str>> {
        self.0.get(path).map(|method| method.name.clone())
    }

    /// Whether the method at `path` streams in either direction.
    pub(crate) fn is_streaming(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|method| method.is_streaming)
    }
}
