//! The process of the __name__ service. `__name__ --help` says how it is started.

use std::process::ExitCode;

use seawall_server::{ALLOCATOR, Allocator, Identity, launch};

#[global_allocator]
static GLOBAL: Allocator = ALLOCATOR;

const IDENTITY: Identity = Identity {
    name: "__name__",
    version: env!("CARGO_PKG_VERSION"),
    port: __port__,
    metrics_port: __metrics_port__,
    about: env!("CARGO_PKG_DESCRIPTION"),
    descriptors: __root___proto::FILE_DESCRIPTOR_SET,
};

fn main() -> ExitCode {
//% if sql
    launch(IDENTITY, __name__::Config::read, async |config, server| Ok(__name__::start(config, server).await?))
//% else
    launch(IDENTITY, __name__::Config::read, async |config, server| Ok(__name__::start(&config, server)))
//% end
}
