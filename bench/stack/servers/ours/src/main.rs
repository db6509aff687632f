//! A service of Seawall as people write it: `ours` with everything on, as its settings say; `ours off`
//! is the same service on the same serve loop without the layers.

mod off;
mod users;

use std::process::ExitCode;

use seawall_server::{Identity, launch};
use tokio::runtime::Handle;

use users::Users;
use users::contract::user_service_server::UserServiceServer;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IDENTITY: Identity = Identity {
    name: "ours",
    version: env!("CARGO_PKG_VERSION"),
    port: 0,
    metrics_port: 0,
    about: env!("CARGO_PKG_DESCRIPTION"),
    descriptors: users::DESCRIPTORS,
};

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == "off") {
        return match off::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("off: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    launch(
        IDENTITY,
        |_| (),
        async |(), server| {
            // For whoever measures, who compares with what runs alike.
            println!("runtime {:?}", Handle::current().runtime_flavor());
            Ok(server.add_service(UserServiceServer::new(Users)))
        },
    )
}
