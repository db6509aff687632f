//! gRPC's negative HTTP/2 cases: a server that uses HTTP/2 in ways that are allowed and rare.
//!
//! The server of gRPC itself is in no package, so it is a script of ours, to which grpc-go's client for
//! these cases is put first.

use std::path::PathBuf;

use anyhow::Result;
use tokio::process::Command;

use super::cases::{judged, said};
use super::grpc_go;
use super::lab::Lab;
use super::process::Process;
use super::table::Row;

/// The cases (`doc/negative-http2-interop-test-descriptions.md`, and its table of test cases) and how
/// calls end in them. Which error a reset is, the cases leave open.
const CASES: [(&str, &str, Ending); 8] = [
    ("goaway", "OK", Ending::Named),
    ("rst_after_header", "an error", Ending::AnyError),
    ("rst_during_data", "an error", Ending::AnyError),
    ("rst_after_data", "an error", Ending::AnyError),
    ("ping", "OK", Ending::Named),
    ("max_streams", "OK", Ending::Named),
    ("data_frame_padding", "OK", Ending::Named),
    ("no_df_padding_sanity_test", "OK", Ending::Named),
];
/// Those that grpc-go's client does not have.
const GO_LACKS: [&str; 2] = ["data_frame_padding", "no_df_padding_sanity_test"];
/// And the one that it fails whatever the server does.
const GO_FAILS: &str = "rst_during_data";
const GO_FAILS_BECAUSE: &str =
    "grpc-go's client wants UNKNOWN here and itself makes INTERNAL of the reset; the case only wants an error";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Named,
    AnyError,
}

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let server =
        lab.installer.python().and_then(|packages| Ok((lab.installer.debian("python3", "python3")?, packages)));
    let (python, packages) = match server {
        Ok(programs) => programs,
        Err(error) => return Ok(vec![Row::skipped("negative HTTP/2", "all", format!("{error:#}"))]),
    };
    let go = lab.installer.go("google.golang.org/grpc/interop/http2", grpc_go::VERSION);
    let mut rows = Vec::new();
    match &go {
        Ok(program) => {
            for (case, expected, _) in CASES.into_iter().filter(|(case, ..)| !GO_LACKS.contains(case)) {
                rows.push(by_go(lab, &python, &packages, program, case, expected).await?);
            }
        }
        Err(error) => rows.push(Row::skipped("grpc-go → negative HTTP/2", "all", format!("{error:#}"))),
    }
    for (case, expected, ending) in CASES {
        rows.push(by_us(lab, &python, &packages, case, expected, ending).await?);
    }
    Ok(rows)
}

/// grpc-go's client, which shows that the script does what the case is about.
async fn by_go(
    lab: &mut Lab,
    python: &PathBuf,
    packages: &PathBuf,
    program: &PathBuf,
    case: &str,
    expected: &str,
) -> Result<Row> {
    let (server, port) = serve(lab, python, packages, case).await?;
    let got = judged(lab, &mut Command::new(program), port, case, expected).await;
    let (content, saw) = server.terminate().await?;
    let peer = "grpc-go → negative HTTP/2";
    Ok(match got {
        Ok(got) if case == GO_FAILS && got != expected => Row::known(peer, case, expected, got, GO_FAILS_BECAUSE),
        got => judge(peer, case, expected, got, content, saw),
    })
}

async fn by_us(
    lab: &mut Lab,
    python: &PathBuf,
    packages: &PathBuf,
    case: &str,
    expected: &str,
    ending: Ending,
) -> Result<Row> {
    let (server, port) = serve(lab, python, packages, case).await?;
    let got = said(lab, port, case).await;
    let (content, saw) = server.terminate().await?;
    // Our client fails where it gets no error.
    let got = got.map(|got| if ending == Ending::AnyError && is_code(&got) { expected.to_owned() } else { got });
    Ok(judge("Seawall → negative HTTP/2", case, expected, got, content, saw))
}

/// Passed if both sides are content. What the server saw is shown.
fn judge(peer: &str, case: &str, expected: &str, got: Result<String>, content: bool, saw: String) -> Row {
    match got {
        Ok(got) if got == expected && content => Row::passed_with(peer, case, expected, format!("{got}; {saw}")),
        Ok(got) => Row::failed(peer, case, expected, format!("{got}; {saw}")),
        Err(error) => Row::failed(peer, case, expected, format!("{error:#}; {saw}")),
    }
}

/// Whether it is the name of a code, such as `INTERNAL`, and no complaint.
fn is_code(said: &str) -> bool {
    !said.is_empty() && said != "OK" && said.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

async fn serve(lab: &mut Lab, python: &PathBuf, packages: &PathBuf, case: &str) -> Result<(Process, u16)> {
    let address = lab.free_address()?;
    let mut command = Command::new(python);
    command.arg(lab.script("negative_http2_server.py")).env("PYTHONPATH", packages);
    command.args([format!("--port={}", address.port()), format!("--test_case={case}")]);
    let server = Process::listening(&mut command, lab.log("negative-http2"), address).await?;
    Ok((server, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_no_code() {
        assert!(is_code("INTERNAL") && is_code("DEADLINE_EXCEEDED"));
        assert!(!is_code("OK") && !is_code("") && !is_code("rst_after_data: was answered"));
    }
}
