//! Code generated from the contracts in `proto/`, nothing else.
//!
//! The modules follow the packages: those of `__name__.billing.v1` are in `__name__::billing::v1`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::semicolon_if_nothing_returned,
    clippy::allow_attributes_without_reason,
    reason = "generated: its comments are those of the contracts"
)]

tonic::include_proto!("contracts");

/// Every contract with its imports and comments, as an encoded `google.protobuf.FileDescriptorSet`.
/// Server reflection answers from it, and method tables are read from it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
