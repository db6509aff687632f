//! h2load as the load: it keeps as many calls in flight as the shape has.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use crate::program::Program;
use crate::tools::tool;
use crate::wire::Shape;

/// The program, and the call that it makes.
#[derive(Debug)]
pub struct H2load {
    program: PathBuf,
    path: String,
    message: NamedTempFile,
    answer_bytes: usize,
    core: usize,
}

impl H2load {
    /// Installs the program if it is not there. `path` is `/package.Service/Method`, `message` is encoded,
    /// `answer_bytes` is how long the encoded answer is, and `core` the processor that the load comes from.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn find(path: &str, message: &[u8], answer_bytes: usize, core: usize) -> Result<Self> {
        let mut file = NamedTempFile::new()?;
        file.write_all(&[0])?;
        file.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
        file.write_all(message)?;
        let program = tool("h2load", "nghttp2-client")?;
        Ok(Self { program, path: path.to_owned(), message: file, answer_bytes, core })
    }

    /// Makes as many calls, and says how long that took.
    ///
    /// # Errors
    /// If one of them is not answered with a message.
    pub fn call(&self, address: SocketAddr, shape: Shape, calls: usize) -> Result<Duration> {
        let program = Program::new(&self.program)
            .args([format!("--clients={}", shape.connections), format!("--max-concurrent-streams={}", shape.streams)])
            .args([format!("--requests={calls}"), "--header=content-type: application/grpc".into()])
            .args(["--header=te: trailers".to_owned(), format!("--data={}", self.message.path().display())])
            .args([format!("http://{address}{}", self.path)])
            .core(self.core);
        let output = program.command().output().context("h2load cannot be run")?;
        ensure!(output.status.success(), "h2load fails: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        let Said { data_bytes, took } = read(&said).with_context(|| format!("h2load says:\n{said}"))?;
        // A call that is refused has no message, and its status is among the trailers, which h2load does not read.
        let expected = calls * (crate::wire::PREFIX_BYTES + self.answer_bytes);
        ensure!(data_bytes == expected, "{data_bytes} bytes for {calls} calls, not {expected}: some were refused");
        Ok(took)
    }
}

/// What of its words matters.
#[derive(Debug, PartialEq)]
struct Said {
    data_bytes: usize,
    took: Duration,
}

fn read(said: &str) -> Option<Said> {
    let traffic = said.lines().find(|line| line.starts_with("traffic:"))?;
    let (_, data_bytes) = traffic.strip_suffix(") data")?.rsplit_once('(')?;
    let (took, _) = said.lines().find_map(|line| line.strip_prefix("finished in "))?.split_once(',')?;
    // From the larger to the smaller, because all of them end with an s.
    let units = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((took.strip_suffix(name)?, unit)))?;
    let took = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
    Some(Said { data_bytes: data_bytes.parse().ok()?, took })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_h2load_says_is_understood() {
        let said = "\nfinished in 2.45s, 40816.33 req/s, 4.28MB/s\n\
                    requests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout\n\
                    traffic: 594B (594) total, 133B (133) headers (space savings 91.02%), 304B (304) data\n";
        assert_eq!(read(said), Some(Said { data_bytes: 304, took: Duration::from_millis(2_450) }));
        let quick = said.replace("2.45s", "938.00us");
        assert_eq!(read(&quick).map(|said| said.took), Some(Duration::from_micros(938)));
        assert_eq!(read("finished in 1s"), None);
    }
}
