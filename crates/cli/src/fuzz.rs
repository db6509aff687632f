//! `cargo seawall fuzz`: looks for bytes that a parser of ours cannot take.
//!
//! What must hold is in `crates/fuzz`, whose tests replay the corpus; here libFuzzer looks for more. It
//! needs instrumented code and no other toolchain: the flags are those of cargo-fuzz without a sanitizer,
//! which Seawall has no use for, since it forbids unsafe code.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anstyle::Style;
use anyhow::{Context, Result, bail};

use crate::compile::cargo;
use crate::terminal::{self, BAD, BOLD, GOOD, Table};
use crate::tools;
use crate::workspace::Workspace;

/// What libFuzzer must be told by the code that it runs: which edges it passes and what it compares.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Longer inputs find nothing that shorter ones do not, and take longer.
const INPUT_BYTES_MAX: usize = 4_096;
/// What takes longer, in seconds, or more memory, in MiB, is a finding.
const INPUT_SECONDS_MAX: usize = 10;
const MEMORY_MIB_MAX: usize = 1_024;

/// What the repository keeps of what was found for a target: inputs, and bytes in all of them.
const KEPT_MAX: usize = 100;
const KEPT_BYTES_MAX: u64 = 16 * 1024;

/// Looks for bytes that a parser cannot take, with libFuzzer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall fuzz                                 every target for half a minute
  cargo seawall fuzz --seconds 600 --target request
  cargo seawall fuzz --keep                          and adds to fuzz/corpus what leads to new code

What is found is kept in .seawall/fuzz; the input of a crash is named in the table. Put its bytes into a
unit test of the parser, then mend it.")]
pub(crate) struct Args {
    /// How long each target is run
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// One target, may be given again; all where none is
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Write some of the inputs that lead to new code to fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Where everything is.
#[derive(Debug)]
struct Fuzzer {
    program: PathBuf,
    corpus: PathBuf,
    found: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let corpus = workspace.root.join("fuzz/corpus");
    let names = names(&corpus, &args.targets)?;
    let fuzzer = Fuzzer { program: build(&workspace.root)?, corpus, found: workspace.root.join(".seawall/fuzz") };
    let mut table = Table::new(&["TARGET", "EXPECTED", "GOT", "RUNS", "INPUTS"]);
    let (mut total, mut failed) = (0, false);
    for name in &names {
        terminal::status("Fuzzing", format!("{name} for {} s", args.seconds));
        let ended = fuzzer.fuzz(name, args.seconds)?;
        if args.keep && ended.crash.is_none() {
            fuzzer.keep(name)?;
        }
        total += ended.runs;
        failed |= ended.crash.is_some();
        let (got, style) = match ended.crash {
            None => ("no crash".to_owned(), GOOD),
            Some(crash) => (crash, BAD),
        };
        table.row(vec![
            (name.clone(), BOLD),
            ("no crash".to_owned(), Style::new()),
            (got, style),
            (ended.runs.to_string(), Style::new()),
            (files(&fuzzer.corpus.join(name))?.len().to_string(), Style::new()),
        ]);
    }
    terminal::print("")?;
    table.lines().into_iter().try_for_each(terminal::print)?;
    terminal::print(format!("{total} runs of {} targets", names.len()))?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The targets that are asked for. All have a folder in the corpus.
fn names(corpus: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let known: Vec<String> =
        files(corpus)?.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    match wanted.iter().find(|name| !known.contains(name)) {
        Some(unknown) => bail!("there is no target {unknown}; there are {}", known.join(", ")),
        None if wanted.is_empty() => Ok(known),
        None => Ok(wanted.to_vec()),
    }
}

/// What is in a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// Builds the program of `fuzz/`, and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    if tools::find("c++").is_none() {
        tools::apt_install("g++").context("libFuzzer is C++, and there is no compiler")?;
    }
    terminal::status("Building", "the targets with instrumentation (fuzz)");
    let host = host()?;
    let folder = root.join("fuzz");
    let mut build = Command::new(cargo());
    // With a target named, scripts that are run while building are not instrumented.
    build.current_dir(&folder).args(["build", "--release", "--target", &host]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    build.env("RUSTFLAGS", format!("{flags} {INSTRUMENTED}")).env("CARGO_TARGET_DIR", folder.join("target"));
    let status = build.stdin(Stdio::null()).status().context("cargo cannot be run")?;
    if !status.success() {
        bail!("the build failed; its errors are above");
    }
    Ok(folder.join("target").join(host).join("release/fuzz"))
}

/// The machine as rustc names it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what this machine is")?.to_owned())
}

/// How a target ended.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    runs: u64,
    /// Where the input is that it cannot take, or what else went wrong.
    crash: Option<String>,
}

impl Fuzzer {
    fn fuzz(&self, name: &str, seconds: u64) -> Result<Ended> {
        let found = self.found.join("corpus").join(name);
        let crashes = self.found.join("crashes");
        [&found, &crashes].into_iter().try_for_each(std::fs::create_dir_all)?;
        let output = self
            .command(name)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/{name}-", crashes.display()))
            .args(["-print_final_stats=1", "-reload=0"])
            .args([found, self.corpus.join(name)])
            .output()
            .context("the program of fuzz/ cannot be run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        std::fs::write(self.found.join(format!("{name}.log")), said.as_bytes())?;
        Ok(ended(&said, output.status.success()))
    }

    /// Replaces what was found before by some of the inputs that lead to other code, of it and of what was
    /// found now. Inputs that have a name instead of a hash were written by hand, and stay.
    fn keep(&self, name: &str) -> Result<()> {
        let (kept, corpus) = (self.found.join("kept").join(name), self.corpus.join(name));
        if kept.exists() {
            std::fs::remove_dir_all(&kept)?;
        }
        std::fs::create_dir_all(&kept)?;
        let mut merge = self.command(name);
        // By the code alone: how often it runs makes many inputs of each one.
        merge.args(["-merge=1", "-use_counters=0"]).args([&kept, &corpus, &self.found.join("corpus").join(name)]);
        tools::run(&mut merge)?;
        for path in files(&corpus)?.iter().filter(|path| is_hash(path)) {
            std::fs::remove_file(path)?;
        }
        for path in some_of(files(&kept)?)? {
            std::fs::copy(&path, corpus.join(path.file_name().context("a file has a name")?))?;
        }
        Ok(())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("SEAWALL_FUZZ_TARGET", name).stdin(Stdio::null());
        command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}")).arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command
    }
}

/// Whether libFuzzer has named it, by its SHA-1.
fn is_hash(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As many as the repository is to have, evenly from the small to the large.
fn some_of(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut sized = Vec::new();
    for path in paths {
        sized.push((path.metadata()?.len(), path));
    }
    sized.sort();
    let step = sized.len().div_ceil(KEPT_MAX).max(1);
    let mut left = KEPT_BYTES_MAX;
    let mut some = Vec::new();
    for (bytes, path) in sized.into_iter().step_by(step) {
        let Some(rest) = left.checked_sub(bytes) else { break };
        left = rest;
        some.push(path);
    }
    Ok(some)
}

/// Reads what libFuzzer says at its end.
fn ended(said: &str, is_well: bool) -> Ended {
    let after = |start: &str| said.lines().find_map(|line| Some(line.split_once(start)?.1.trim()));
    let runs = after("stat::number_of_executed_units:").and_then(|number| number.parse().ok()).unwrap_or(0);
    let crash = match after("Test unit written to ") {
        Some(path) => Some(path.to_owned()),
        None if is_well => None,
        None => Some(said.lines().last().unwrap_or("it says nothing").to_owned()),
    };
    Ended { runs, crash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_at_its_end_is_read() {
        let well = "Done 5 runs in 1 second(s)\nstat::number_of_executed_units: 5\nstat::new_units_added: 1\n";
        assert_eq!(ended(well, true), Ended { runs: 5, crash: None });
        let ill = "artifact_prefix='a/'; Test unit written to a/crash-1\nstat::number_of_executed_units: 7\n";
        assert_eq!(ended(ill, false), Ended { runs: 7, crash: Some("a/crash-1".to_owned()) });
        assert_eq!(ended("no memory", false), Ended { runs: 0, crash: Some("no memory".to_owned()) });
    }

    #[test]
    fn some_of_many_are_kept_and_all_of_few() {
        let folder = tempfile::tempdir().unwrap();
        let write = |bytes: usize| {
            let path = folder.path().join(format!("{bytes:040x}"));
            std::fs::write(&path, vec![0; bytes]).unwrap();
            assert!(is_hash(&path) && !is_hash(Path::new("seed-1")));
            path
        };
        let few: Vec<PathBuf> = (0..10).map(write).collect();
        assert_eq!(some_of(few.clone()).unwrap(), few);
        let many = some_of((0..250).map(write).collect()).unwrap();
        assert_eq!((many.len(), &many[1]), (84, &few[3]));
        let large = some_of((16_000..16_010).map(write).collect()).unwrap();
        assert_eq!(large.len(), 1);
    }

    #[test]
    fn only_known_targets_are_run() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert_eq!(names(folder.path(), &[]).unwrap(), ["a", "b"]);
        assert_eq!(names(folder.path(), &["b".to_owned()]).unwrap(), ["b"]);
        assert!(names(folder.path(), &["c".to_owned()]).unwrap_err().to_string().contains("a, b"));
    }
}
