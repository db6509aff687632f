//! The cases of gRPC's interop tests, with a client and a server that have them.

use std::path::PathBuf;

use anyhow::Result;
use tokio::process::Command;

use super::certificates::Certificates;
use super::lab::Lab;
use super::process::{self, Process};
use super::table::Row;

/// The standard cases and the code that each ends with (`doc/interop-test-descriptions.md`); those left
/// out need credentials of Google's cloud, or compressed messages.
pub(super) const STANDARD: [(&str, &str); 14] = [
    ("empty_unary", "OK"),
    ("large_unary", "OK"),
    ("client_streaming", "OK"),
    ("server_streaming", "OK"),
    ("ping_pong", "OK"),
    ("empty_stream", "OK"),
    ("timeout_on_sleeping_server", "DEADLINE_EXCEEDED"),
    ("cancel_after_begin", "CANCELLED"),
    ("cancel_after_first_response", "CANCELLED"),
    ("status_code_and_message", "UNKNOWN"),
    ("special_status_message", "UNKNOWN"),
    ("unimplemented_method", "UNIMPLEMENTED"),
    ("unimplemented_service", "UNIMPLEMENTED"),
    ("custom_metadata", "OK"),
];

/// An implementation with an interop client, an interop server, or both.
#[derive(Debug)]
pub(super) struct Implementation {
    /// As the table shows it.
    pub(super) name: &'static str,
    /// What each program is started with, before the arguments of all interop programs.
    pub(super) environment: Vec<(&'static str, PathBuf)>,
    pub(super) client: Vec<PathBuf>,
    pub(super) server: Vec<PathBuf>,
    /// What its client needs beside the flags of all, to trust an authority of ours.
    pub(super) tls: &'static [&'static str],
    /// Standard cases that its client does not have.
    pub(super) lacks: &'static [&'static str],
    /// Further cases of its client, and the codes that they end with.
    pub(super) more: &'static [(&'static str, &'static str)],
}

impl Implementation {
    /// Both directions.
    pub(super) async fn run(&self, lab: &mut Lab) -> Result<Vec<Row>> {
        let mut rows = self.calls_us(lab).await;
        rows.extend(self.is_called(lab).await?);
        Ok(rows)
    }

    /// Its client, which judges for itself, and our server.
    async fn calls_us(&self, lab: &Lab) -> Vec<Row> {
        let peer = format!("{} → Seawall", self.name);
        let mut rows = Vec::new();
        for (case, expected) in STANDARD.iter().chain(self.more) {
            rows.push(if self.lacks.contains(case) {
                Row::skipped(&peer, case, "its client has no such case")
            } else {
                let mut command = self.command(&self.client);
                command.args(lab.certificates().into_iter().flat_map(|_| self.tls));
                Row::compared(
                    &peer,
                    case,
                    expected,
                    judged(lab, &mut command, lab.server().port(), case, expected).await,
                )
            });
        }
        rows
    }

    /// Our client and its server.
    async fn is_called(&self, lab: &mut Lab) -> Result<Vec<Row>> {
        let peer = format!("Seawall → {}", self.name);
        let address = lab.free_address()?;
        let mut command = self.command(&self.server);
        command.arg(format!("--port={}", address.port()));
        command.args(lab.certificates().into_iter().flat_map(Certificates::server_flags));
        let server = Process::listening(&mut command, lab.log(self.name), address).await?;
        let mut rows = Vec::new();
        for (case, expected) in STANDARD {
            let said = said(lab, address.port(), case).await;
            rows.push(Row::compared(&peer, case, expected, said));
        }
        drop(server);
        Ok(rows)
    }

    fn command(&self, words: &[PathBuf]) -> Command {
        let mut words = words.iter();
        let mut command = Command::new(words.next().map(PathBuf::as_path).unwrap_or_else(|| "".as_ref()));
        command.args(words).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }
}

/// Runs a client that exits with 0 if it got what is expected.
pub(super) async fn judged(lab: &Lab, client: &mut Command, port: u16, case: &str, expected: &str) -> Result<String> {
    let ended = process::run(arguments(lab, client, port, case)).await?;
    Ok(if ended.success { expected.to_owned() } else { ended.complaint() })
}

/// Runs our client, which says what it got.
pub(super) async fn said(lab: &Lab, port: u16, case: &str) -> Result<String> {
    let ended = process::run(arguments(lab, &mut lab.client(), port, case)).await?;
    Ok(if ended.success { ended.output.trim().to_owned() } else { ended.complaint() })
}

fn arguments<'a>(lab: &Lab, client: &'a mut Command, port: u16, case: &str) -> &'a mut Command {
    client.args(["--server_host=127.0.0.1".to_owned(), format!("--server_port={port}"), format!("--test_case={case}")]);
    client.args(lab.certificates().into_iter().flat_map(Certificates::client_flags))
}
