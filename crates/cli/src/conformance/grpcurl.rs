//! grpcurl: an old one, which knows reflection only as `v1alpha`, and the newest.

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use super::lab::Lab;
use super::process;
use super::table::Row;

const PACKAGE: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl";
const VERSIONS: [&str; 2] = ["v1.6.0", "v1.9.4"];

/// A run of grpcurl, and what it must print.
struct Case {
    name: &'static str,
    options: &'static [&'static str],
    /// After the address.
    method: &'static [&'static str],
    prints: &'static str,
}

const CASES: [Case; 10] = [
    Case { name: "list", options: &[], method: &["list"], prints: "grpc.testing.TestService" },
    Case { name: "list has health", options: &[], method: &["list"], prints: "grpc.health.v1.Health" },
    Case {
        name: "describe",
        options: &[],
        method: &["describe", "grpc.testing.TestService"],
        prints: "rpc UnaryCall ( .grpc.testing.SimpleRequest )",
    },
    Case {
        name: "unary",
        options: &["-d", r#"{"response_size": 3}"#],
        method: &["grpc.testing.TestService/UnaryCall"],
        prints: r#""body": "AAAA""#,
    },
    Case {
        name: "client streaming",
        options: &["-d", r#"{"payload": {"body": "AAAA"}} {"payload": {"body": "AAAA"}}"#],
        method: &["grpc.testing.TestService/StreamingInputCall"],
        prints: r#""aggregatedPayloadSize": 6"#,
    },
    Case {
        name: "server streaming",
        options: &["-d", r#"{"response_parameters": [{"size": 3}, {"size": 6}]}"#],
        method: &["grpc.testing.TestService/StreamingOutputCall"],
        prints: r#""body": "AAAAAAAA""#,
    },
    Case {
        name: "both streaming",
        options: &["-d", r#"{"response_parameters": [{"size": 3}]} {"response_parameters": [{"size": 6}]}"#],
        method: &["grpc.testing.TestService/FullDuplexCall"],
        prints: r#""body": "AAAAAAAA""#,
    },
    Case {
        name: "status",
        options: &["-d", r#"{"response_status": {"code": 5, "message": "no ☺"}}"#],
        method: &["grpc.testing.TestService/UnaryCall"],
        prints: "Code: NotFound\n  Message: no ☺",
    },
    Case {
        name: "details of an error",
        options: &["-d", r#"{"response_size": -1}"#],
        method: &["grpc.testing.TestService/UnaryCall"],
        prints: r#""field":"response_size""#,
    },
    Case {
        name: "deadline",
        options: &["-max-time", "0.2", "-d", r#"{"response_parameters": [{"size": 1, "interval_us": 60000000}]}"#],
        method: &["grpc.testing.TestService/StreamingOutputCall"],
        prints: "DeadlineExceeded",
    },
];

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for version in VERSIONS {
        let peer = format!("grpcurl {version}");
        match lab.installer.go(PACKAGE, version) {
            Ok(program) => {
                for case in &CASES {
                    rows.push(Row::compared(&peer, case.name, case.prints, printed(&program, lab, case).await));
                }
            }
            Err(error) => rows.push(Row::skipped(&peer, "all", format!("{error:#}"))),
        }
    }
    Ok(rows)
}

/// What the case wants, if it is in what grpcurl prints, else all that it prints.
async fn printed(program: &Path, lab: &Lab, case: &Case) -> Result<String> {
    let mut command = Command::new(program);
    match lab.certificates() {
        Some(certificates) => command.arg("-cacert").arg(&certificates.ca),
        None => command.arg("-plaintext"),
    };
    command.args(case.options).arg(lab.server().to_string()).args(case.method);
    let ended = process::run(&mut command).await?;
    let all = format!("{}{}", ended.output, ended.errors);
    // Versions differ in the spaces of JSON.
    let is_there = squeezed(&all).contains(&squeezed(case.prints));
    Ok(if is_there { case.prints.to_owned() } else { all })
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
