//! h2spec, the conformance tests of HTTP/2.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::lab::Lab;
use super::process;
use super::table::Row;

const PACKAGE: &str = "github.com/summerwind/h2spec/cmd/h2spec";
/// The newest that is a Go module.
const VERSION: &str = "v2.2.1+incompatible";

/// What fails now and then, because gRPC is not what it expects: where in its list, and how the title begins.
const KNOWN: [(&str, &str); 5] = [
    ("http2/5.1", "closed: Sends a HEADERS frame after sending RST_STREAM frame"),
    ("http2/6.9.1", "Sends multiple WINDOW_UPDATE frames increasing the flow control window"),
    ("http2/8.1", "Sends a second HEADERS frame without the END_STREAM flag"),
    ("http2/8.1.2.1", "Sends a HEADERS frame that contains a pseudo-header field as trailers"),
    ("http2/8.1.2.6", "Sends a HEADERS frame with the \"content-length\" header field"),
];
const ANSWERED_BEFORE: &str = "h2spec goes on with a GET, and what is no call is answered as soon as its headers are \
    there. Frames that come after the answer are not looked at; where they come with the headers, the case passes";
/// It makes some cases only if the answer to a GET has content, as ours has.
const SKIPPED: &str = "h2spec makes this case only where the answer to GET has content";

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let program = match lab.installer.go(PACKAGE, VERSION) {
        Ok(program) => program,
        Err(error) => return Ok(vec![Row::skipped("h2spec", "all", format!("{error:#}"))]),
    };
    let report = lab.log("h2spec").with_extension("xml");
    let address = lab.server();
    let mut command = Command::new(program);
    command
        .args(["--strict", "--host", "127.0.0.1", "--port", &address.port().to_string(), "--junit-report"])
        .arg(&report);
    if lab.certificates().is_some() {
        command.args(["--tls", "--insecure"]);
    }
    // It exits with 1 if anything has failed, which we see by ourselves.
    process::run(&mut command).await?;
    let report = std::fs::read_to_string(&report).with_context(|| format!("{} cannot be read", report.display()))?;
    let tests = read(&report);
    ensure!(!tests.is_empty(), "there are no cases in h2spec's report");
    let mut rows = Vec::new();
    let mut passed = 0;
    for Test { section, title, outcome } in &tests {
        let case = format!("{section} {title}");
        let known = KNOWN.iter().find(|(at, of)| at == section && title.starts_with(of));
        rows.push(match (outcome, known) {
            (Outcome::Passed, _) => {
                passed += 1;
                continue;
            }
            (Outcome::Skipped, _) => Row::skipped("h2spec", &case, SKIPPED),
            (Outcome::Failed(got), Some(_)) => Row::known("h2spec", &case, "", got.clone(), ANSWERED_BEFORE),
            (Outcome::Failed(got), None) => Row::failed("h2spec", &case, "", got.clone()),
        });
    }
    let all = format!("{} cases of RFC 7540 and RFC 7541", tests.len());
    rows.insert(0, Row::passed("h2spec", &all, &format!("{passed} pass")));
    Ok(rows)
}

/// A case of its report.
#[derive(Debug, PartialEq, Eq)]
struct Test {
    /// Such as `http2/5.1.2`.
    section: String,
    title: String,
    outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped,
    /// With what was expected and what came instead.
    Failed(String),
}

/// The cases of a report in the format of JUnit, as far as h2spec uses it.
fn read(report: &str) -> Vec<Test> {
    let cases = report.split("<testcase ").skip(1).filter_map(|case| {
        let (attributes, rest) = case.split_once('>')?;
        let body = rest.split("</testcase>").next()?;
        let failed = ["error", "failure"].iter().find_map(|tag| element(body, tag));
        let outcome = match failed {
            Some(text) => Outcome::Failed(plain(text).replace('\n', "; ")),
            None if body.contains("<skipped") => Outcome::Skipped,
            None => Outcome::Passed,
        };
        let attribute = |name: &str| Some(plain(attributes.split(&format!("{name}=\"")).nth(1)?.split('"').next()?));
        Some(Test { section: attribute("package")?, title: attribute("classname")?, outcome })
    });
    cases.collect()
}

fn element<'a>(body: &'a str, tag: &str) -> Option<&'a str> {
    body.split(&format!("<{tag}>")).nth(1)?.split(&format!("</{tag}>")).next()
}

/// Text without the entities that Go's encoder makes.
fn plain(text: &str) -> String {
    let text = text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#xA;", "\n");
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read() {
        let report = r#"<testsuites>
  <testsuite name="2. Streams" package="generic/2" tests="3">
    <testcase package="generic/2" classname="Sends a &#34;PRIORITY&#34; frame" time="0.0005"></testcase>
    <testcase package="generic/2" classname="Sends a WINDOW_UPDATE frame" time="3.0039">
      <error>DATA frame
HEADERS Frame (length:35)</error>
    </testcase>
    <testcase package="http2/6.5.3" classname="Sends multiple values" time="0.0008">
      <skipped></skipped>
    </testcase>
  </testsuite>
</testsuites>"#;
        let test = |section: &str, title: &str, outcome| Test { section: section.into(), title: title.into(), outcome };
        assert_eq!(
            read(report),
            [
                test("generic/2", "Sends a \"PRIORITY\" frame", Outcome::Passed),
                test(
                    "generic/2",
                    "Sends a WINDOW_UPDATE frame",
                    Outcome::Failed("DATA frame; HEADERS Frame (length:35)".into())
                ),
                test("http2/6.5.3", "Sends multiple values", Outcome::Skipped),
            ]
        );
    }
}
