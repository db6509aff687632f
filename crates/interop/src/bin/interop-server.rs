//! The process of the interop service. `interop-server --help` says how it is started.

use std::process::ExitCode;

use seawall_interop::proto::FILE_DESCRIPTOR_SET;
use seawall_server::{Identity, launch};

const IDENTITY: Identity = Identity {
    name: "interop",
    version: env!("CARGO_PKG_VERSION"),
    // By convention that of all interop servers.
    port: 10000,
    metrics_port: 10001,
    about: env!("CARGO_PKG_DESCRIPTION"),
    descriptors: FILE_DESCRIPTOR_SET,
};

fn main() -> ExitCode {
    launch(IDENTITY, |_| (), async |(), server| Ok(server.add_service(seawall_interop::service())))
}
