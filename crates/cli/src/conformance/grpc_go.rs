//! The interop client and server of grpc-go.

use anyhow::Result;

use super::cases::Implementation;
use super::lab::Lab;
use super::table::Row;

/// The newest when this was written.
pub(super) const VERSION: &str = "v1.85.0";

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let get = |package| lab.installer.go(package, VERSION);
    let programs = get("google.golang.org/grpc/interop/client")
        .and_then(|client| Ok((client, get("google.golang.org/grpc/interop/server")?)));
    let (client, server) = match programs {
        Ok(programs) => programs,
        Err(error) => return Ok(vec![Row::skipped("grpc-go", "all", format!("{error:#}"))]),
    };
    let go = Implementation {
        name: "grpc-go",
        environment: Vec::new(),
        client: vec![client],
        server: vec![server],
        tls: &["--use_test_ca=true"],
        lacks: &[],
        more: &[("pick_first_unary", "OK"), ("rpc_soak", "OK"), ("channel_soak", "OK")],
    };
    go.run(lab).await
}
