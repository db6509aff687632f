//! The interop service of gRPC, and a client of it: what other implementations are tried with.
//!
//! `cargo seawall conformance` runs the two programs of this crate against clients and servers that
//! nobody here wrote: `interop-server` is the service in the real inbound stack, `interop-client` makes
//! the calls of one case through the real outbound stack. The cases are those of gRPC's
//! `doc/interop-test-descriptions.md` and `doc/negative-http2-interop-test-descriptions.md`.
//!
//! ```no_run
//! # async fn example(config: seawall_server::Config) -> Result<(), seawall_server::ServeError> {
//! use seawall_interop::proto::FILE_DESCRIPTOR_SET;
//! use seawall_server::Server;
//!
//! let server = Server::try_new(config, FILE_DESCRIPTOR_SET)?.add_service(seawall_interop::service());
//! println!("{:?}", server.bind().await?.address());
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `service.rs` is the service, in `echo.rs`, which sends metadata back; `cases.rs` lists the cases of the
//! client, which are in the files beside; `proto` is generated from `proto/`.

mod cases;
mod echo;
pub mod proto;
mod service;

pub use cases::{Case, Cases};
pub use echo::Echo;

use proto::test_service_server::TestServiceServer;

/// The service, for [`Server::add_service`](seawall_server::Server::add_service).
pub fn service() -> Echo<TestServiceServer<impl proto::test_service_server::TestService>> {
    Echo::new(TestServiceServer::new(service::Interop::new()))
}
