//! ghz, which makes load: no call of it may fail.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::lab::Lab;
use super::process;
use super::table::Row;

const PACKAGE: &str = "github.com/bojand/ghz/cmd/ghz";
/// The newest.
const VERSION: &str = "v0.93.0";
/// The calls, fewer at a time than the limit on them begins with.
const CALLS: u64 = 2_000;
const AT_ONCE: u64 = 10;
const CONNECTIONS: u64 = 2;

const METHODS: [(&str, &str); 3] = [
    ("EmptyCall", "{}"),
    ("UnaryCall", r#"{"response_size": 100}"#),
    ("StreamingOutputCall", r#"{"response_parameters": [{"size": 100}, {"size": 100}]}"#),
];

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let program = match lab.installer.go(PACKAGE, VERSION) {
        Ok(program) => program,
        Err(error) => return Ok(vec![Row::skipped("ghz", "all", format!("{error:#}"))]),
    };
    let mut rows = Vec::new();
    for (method, data) in METHODS {
        let mut command = Command::new(&program);
        match lab.certificates() {
            Some(certificates) => command.arg("--cacert").arg(&certificates.ca),
            None => command.arg("--insecure"),
        };
        command.args(["--format=json", "--data", data]);
        command.arg(format!("--call=grpc.testing.TestService/{method}"));
        command.args([format!("--total={CALLS}"), format!("--concurrency={AT_ONCE}")]);
        command.args([format!("--connections={CONNECTIONS}"), lab.server().to_string()]);
        let got = process::run(&mut command).await.and_then(|ended| codes(&ended.output));
        rows.push(Row::compared("ghz", method, &format!("{CALLS} OK"), got));
    }
    Ok(rows)
}

/// How many calls ended with which code, such as `1999 OK, 1 Unavailable`.
fn codes(report: &str) -> Result<String> {
    let report: Value = serde_json::from_str(report).context("ghz's report is no JSON")?;
    let codes = report["statusCodeDistribution"].as_object().context("there are no codes in ghz's report")?;
    Ok(codes.iter().map(|(code, count)| format!("{count} {code}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted() {
        let report = r#"{"count": 3, "statusCodeDistribution": {"OK": 2, "Unavailable": 1}}"#;
        assert_eq!(codes(report).unwrap(), "2 OK, 1 Unavailable");
        assert!(codes("no").is_err() && codes("{}").is_err());
    }
}
