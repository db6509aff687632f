//! A set of status codes.

use tonic::Code;

/// A set of status codes, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeSet(u32);

impl CodeSet {
    pub(crate) fn of(codes: &[Code]) -> Self {
        Self(codes.iter().fold(0, |set, code| set | 1 << *code as u32))
    }

    pub(crate) fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }
}
