//! h2load as the load: it keeps as many calls in flight as the shape has.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use harness::Program;
use harness::wire::Shape;
use stack::{CLIENT_CORE, MESSAGE, PATH};
use tempfile::NamedTempFile;

/// What precedes a message of gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// A `GetUserResponse` with the id, `ada@example.com` and `Ada Lovelace`, with what precedes it.
const ANSWER_BYTES: usize = PREFIX_BYTES + 71;

/// The program, and the message it sends.
#[derive(Debug)]
pub(crate) struct H2load {
    program: PathBuf,
    message: NamedTempFile,
}

impl H2load {
    /// Installs the program if it is not there.
    pub(crate) fn find() -> Result<Self> {
        let mut message = NamedTempFile::new()?;
        message.write_all(&[0])?;
        message.write_all(&u32::try_from(MESSAGE.len())?.to_be_bytes())?;
        message.write_all(MESSAGE)?;
        Ok(Self { program: harness::tool("h2load", "nghttp2-client")?, message })
    }

    /// Makes as many calls. Fails unless each of them is answered with a user.
    pub(crate) fn call(&self, address: SocketAddr, shape: Shape, calls: usize) -> Result<()> {
        let count = |count: usize| count.to_string();
        let mut command = Program::new(&self.program)
            .args(["--clients", &count(shape.connections), "--max-concurrent-streams", &count(shape.streams)])
            .args(["--requests", &count(calls), "--header", "content-type: application/grpc"])
            .args(["--header", "te: trailers", "--data"])
            .args([self.message.path()])
            .args([format!("http://{address}{PATH}")])
            .core(CLIENT_CORE)
            .command();
        let output = command.output().context("h2load cannot be run")?;
        ensure!(output.status.success(), "h2load fails: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        let answered = answer_bytes(&said).with_context(|| format!("h2load says no traffic:\n{said}"))?;
        // A call that is refused has no message, and its status is among the trailers, which h2load does not read.
        if answered != calls * ANSWER_BYTES {
            bail!("{calls} calls are answered with {answered} bytes, not {}: some were refused", calls * ANSWER_BYTES);
        }
        Ok(())
    }
}

/// From `traffic: 20.98MB (22001840) total, 390.74KB (400120) headers (…), 14.50MB (15200000) data`.
fn answer_bytes(said: &str) -> Option<usize> {
    let traffic = said.lines().find(|line| line.starts_with("traffic:"))?;
    let (_, bytes) = traffic.strip_suffix(") data")?.rsplit_once('(')?;
    bytes.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_answers_are_those_of_data_frames() {
        let said = "status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx\n\
                    traffic: 594B (594) total, 133B (133) headers (space savings 91.02%), 304B (304) data\n\
                    time for request: 1us";
        assert_eq!(answer_bytes(said), Some(304));
        assert_eq!(answer_bytes("finished in 1s"), None);
    }
}
