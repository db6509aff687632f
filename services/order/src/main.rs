//! The process of the order service. `order --help` says how it is started.

use std::process::ExitCode;

use seawall_server::{ALLOCATOR, Allocator, Identity, launch};

#[global_allocator]
static GLOBAL: Allocator = ALLOCATOR;

const IDENTITY: Identity = Identity {
    name: "order",
    version: env!("CARGO_PKG_VERSION"),
    port: 50052,
    metrics_port: 9465,
    about: env!("CARGO_PKG_DESCRIPTION"),
    descriptors: seawall_proto::FILE_DESCRIPTOR_SET,
};

fn main() -> ExitCode {
    launch(IDENTITY, order::Config::read, async |config, server| Ok(order::start(config, server).await?))
}
