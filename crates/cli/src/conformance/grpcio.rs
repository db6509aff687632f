//! grpcio, the implementation for Python, with cases of ours.

use anyhow::Result;

use super::cases::Implementation;
use super::lab::Lab;
use super::table::Row;

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let programs =
        lab.installer.python().and_then(|packages| Ok((lab.installer.debian("python3", "python3")?, packages)));
    let (python, packages) = match programs {
        Ok(programs) => programs,
        Err(error) => return Ok(vec![Row::skipped("grpcio", "all", format!("{error:#}"))]),
    };
    let words = vec![python, lab.script("grpcio_peer.py"), "--contracts".into(), lab.contracts()];
    let implementation = Implementation {
        name: "grpcio",
        environment: vec![("PYTHONPATH", packages)],
        client: words.clone(),
        server: words,
        tls: &[],
        lacks: &[],
        more: &[],
    };
    implementation.run(lab).await
}
