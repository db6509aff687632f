//! Envoy in front of the service: what comes through it is what came without it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::cases::{STANDARD, judged, said};
use super::grpc_go;
use super::lab::Lab;
use super::process::Process;
use super::table::Row;

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let packages = match lab.installer.python() {
        Ok(packages) => packages,
        Err(error) => return Ok(vec![Row::skipped("Envoy", "all", format!("{error:#}"))]),
    };
    let address = lab.free_address()?;
    let config = lab.log("envoy").with_extension("json");
    std::fs::write(&config, configuration(address, lab.server()))
        .with_context(|| format!("{} cannot be written", config.display()))?;
    let mut command = Command::new(lab.installer.debian("python3", "python3")?);
    command.arg(packages.join("bin/envoy")).env("PYTHONPATH", &packages);
    command.args(["--disable-hot-restart", "--log-level", "warning", "--concurrency", "1", "--config-path"]);
    let envoy = Process::listening(command.arg(&config), lab.log("envoy"), address).await?;
    let mut rows = Vec::new();
    match lab.installer.go("google.golang.org/grpc/interop/client", grpc_go::VERSION) {
        Ok(client) => rows.extend(by_go(lab, &client, address.port()).await),
        Err(error) => rows.push(Row::skipped("grpc-go → Envoy → Seawall", "all", format!("{error:#}"))),
    }
    for (case, expected) in STANDARD {
        let said = said(lab, address.port(), case).await;
        rows.push(Row::compared("Seawall → Envoy → Seawall", case, expected, said));
    }
    drop(envoy);
    Ok(rows)
}

async fn by_go(lab: &Lab, client: &PathBuf, port: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    for (case, expected) in STANDARD {
        let got = judged(lab, &mut Command::new(client), port, case, expected).await;
        rows.push(Row::compared("grpc-go → Envoy → Seawall", case, expected, got));
    }
    rows
}

/// One listener, one route without a timeout of its own, one cluster, and HTTP/2 on both sides.
fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    let address = |address: SocketAddr| serde_json::json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let extension = "type.googleapis.com/envoy.extensions";
    let manager = serde_json::json!({
        "@type": format!("{extension}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "conformance",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "seawall", "timeout": "0s"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{extension}.filters.http.router.v3.Router")},
        }],
    });
    let cluster = serde_json::json!({
        "name": "seawall",
        "connect_timeout": "2s",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "seawall",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": format!("{extension}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
    });
    let listener = serde_json::json!({
        "address": address(listen),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    });
    serde_json::json!({"static_resources": {"listeners": [listener], "clusters": [cluster]}}).to_string()
}
