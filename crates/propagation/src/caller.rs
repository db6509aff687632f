//! Who makes a call, as far as others must be told apart from them.

use std::fmt;
use std::sync::Arc;

/// Who makes a call: in the extensions of a request, once whoever authenticates has found it out. It says
/// only that two calls are of the same caller; the name itself is for nobody to read.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Caller(Arc<[u8]>);

impl Caller {
    /// The caller with a name that has several parts.
    pub fn new(parts: &[&str]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
        for part in parts {
            // With its length, so that no two names run into each other.
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        Self(bytes.into())
    }

    /// The same bytes for the same caller, in every process.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_run_into_each_other() {
        assert_eq!(Caller::new(&["issuer", "me"]), Caller::new(&["issuer", "me"]));
        assert_ne!(Caller::new(&["issuer", "me"]), Caller::new(&["issue", "rme"]));
        assert_ne!(Caller::new(&["issuer", "me"]), Caller::new(&["issuerme"]));
    }
}
