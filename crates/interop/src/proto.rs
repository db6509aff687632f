//! Code generated from the contracts in `proto/`, nothing else.
#![allow(
    missing_docs,
    clippy::all,
    clippy::semicolon_if_nothing_returned,
    clippy::allow_attributes_without_reason,
    reason = "generated: its comments are those of the contracts"
)]

tonic::include_proto!("grpc.testing");

/// The contracts as an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
