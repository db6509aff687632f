//! grpc-js, the implementation for Node.js, with cases of ours.

use anyhow::Result;

use super::cases::Implementation;
use super::lab::Lab;
use super::table::Row;

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let programs = lab.installer.node().and_then(|packages| Ok((lab.installer.debian("node", "nodejs")?, packages)));
    let (node, packages) = match programs {
        Ok(programs) => programs,
        Err(error) => return Ok(vec![Row::skipped("grpc-js", "all", format!("{error:#}"))]),
    };
    let words = vec![node, lab.script("grpc_js_peer.js"), "--contracts".into(), lab.contracts()];
    let implementation = Implementation {
        name: "grpc-js",
        environment: vec![("NODE_PATH", packages)],
        client: words.clone(),
        server: words,
        tls: &[],
        lacks: &[],
        more: &[],
    };
    implementation.run(lab).await
}
