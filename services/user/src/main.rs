//! The process of the user service. `user --help` says how it is started.

use std::process::ExitCode;

use seawall_server::{ALLOCATOR, Allocator, Identity, launch};

#[global_allocator]
static GLOBAL: Allocator = ALLOCATOR;

const IDENTITY: Identity = Identity {
    name: "user",
    version: env!("CARGO_PKG_VERSION"),
    port: 50051,
    metrics_port: 9464,
    about: env!("CARGO_PKG_DESCRIPTION"),
    descriptors: seawall_proto::FILE_DESCRIPTOR_SET,
};

fn main() -> ExitCode {
    launch(IDENTITY, user::Config::read, async |config, server| Ok(user::start(config, server).await?))
}
