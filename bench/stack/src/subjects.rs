//! The servers that are compared, and what they are called with.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use harness::wire::{Call, Shape};
use harness::{Build, Process, Profile, Program};

/// The processor of the server. Everything else has another one.
pub const SERVER_CORE: usize = 0;
/// The other one.
pub const CLIENT_CORE: usize = 1;

/// The method that is called.
pub const PATH: &str = "/seawall.bench.v1.UserService/GetUser";
/// The one whose calls stay in flight.
pub(crate) const HOLD_PATH: &str = "/seawall.bench.v1.UserService/HoldUser";
/// The length of the answer, a `GetUserResponse` with that id, `ada@example.com` and `Ada Lovelace`.
pub const ANSWER_BYTES: usize = 71;
/// `GetUserRequest { user_id: "0190b2f7-…" }`.
pub const MESSAGE: &[u8] = b"\x0a\x240190b2f7-8e6c-7c4b-9f3a-2d1e5f60718a";

/// Ten connections with ten calls each.
pub(crate) const USUAL: Shape = Shape { connections: 10, streams: 10 };

/// What `seawall_server::launch` asks for, which is checked before anything is measured.
pub(crate) const OURS: Flavour = Flavour::Multi;

/// The call that every server answers.
pub(crate) fn call() -> Call {
    Call::new(PATH, MESSAGE)
}

/// Which of its runtimes tokio is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavour {
    /// What `#[tokio::main]` makes.
    Multi,
    /// One thread.
    Current,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multi => "multi",
            Self::Current => "current",
        })
    }
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Stock tonic.
    Bare(Profile, Flavour),
    /// Seawall without its layers.
    Off,
    /// Seawall with everything on, and the share of its traces that is recorded.
    Ours(Sampled),
    /// The same, all of them, and a log line for each call.
    OursLogged,
    /// Stock tonic with what Seawall does, wired from the usual crates.
    Naive(Profile, Flavour, Sampled),
    /// The same with all traces and a log line for each call, as its README has it.
    NaiveLogged,
}

/// How many traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sampled {
    /// 1 in 100.
    OnePercent,
    /// All.
    All,
}

impl Sampled {
    pub fn ratio(self) -> &'static str {
        match self {
            Self::OnePercent => "0.01",
            Self::All => "1",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::OnePercent => "1",
            Self::All => "100",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(Profile::Plain, flavour) => write!(f, "bare-readme-{flavour}"),
            Self::Bare(Profile::Release, flavour) => write!(f, "bare-{flavour}"),
            Self::Off => write!(f, "off"),
            Self::Ours(sampled) => write!(f, "ours-{}", sampled.name()),
            Self::OursLogged => write!(f, "ours-100-logged"),
            Self::Naive(Profile::Plain, flavour, sampled) => write!(f, "naive-readme-{flavour}-{}", sampled.name()),
            Self::Naive(Profile::Release, flavour, sampled) => write!(f, "naive-{flavour}-{}", sampled.name()),
            Self::NaiveLogged => write!(f, "naive-readme-multi-100-logged"),
        }
    }
}

impl Subject {
    /// Stock tonic as its README has it.
    pub const README: Self = Self::Bare(Profile::Plain, Flavour::Multi);
    /// Stock tonic built and run as ours is.
    pub const ALIKE: Self = Self::Bare(Profile::Release, OURS);
    /// Those whose calls are counted: built alike.
    pub const COUNTED: [Self; 7] = [
        Self::Bare(Profile::Release, Flavour::Multi),
        Self::Bare(Profile::Release, Flavour::Current),
        Self::Off,
        Self::Ours(Sampled::OnePercent),
        Self::Ours(Sampled::All),
        Self::Naive(Profile::Release, OURS, Sampled::OnePercent),
        Self::Naive(Profile::Release, OURS, Sampled::All),
    ];

    /// Those of `all` with one of these names; all of them, if no name is given.
    pub fn chosen(all: &[Self], names: &[String]) -> Result<Vec<Self>> {
        let known: Vec<String> = all.iter().map(ToString::to_string).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            bail!("{unknown} is none of {}", known.join(", "));
        }
        let is_chosen = |subject: &Self| names.is_empty() || names.contains(&subject.to_string());
        Ok(all.iter().copied().filter(is_chosen).collect())
    }

    /// Whether it is Seawall's.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Off | Self::Ours(_) | Self::OursLogged)
    }

    fn build(self) -> Build {
        match self {
            Self::Bare(Profile::Plain, _) => Build::new("bare", Profile::Plain),
            Self::Bare(Profile::Release, _) => Build::new("bare", Profile::Release).feature("mimalloc"),
            Self::Naive(Profile::Plain, ..) | Self::NaiveLogged => Build::new("naive", Profile::Plain),
            Self::Naive(Profile::Release, ..) => Build::new("naive", Profile::Release).feature("mimalloc"),
            Self::Off | Self::Ours(_) | Self::OursLogged => Build::new("ours", Profile::Release).feature("mimalloc"),
        }
    }

    /// The share of its traces that it records.
    pub fn sampled(self) -> Option<Sampled> {
        match self {
            Self::Ours(sampled) | Self::Naive(_, _, sampled) => Some(sampled),
            Self::OursLogged | Self::NaiveLogged => Some(Sampled::All),
            Self::Bare(..) | Self::Off => None,
        }
    }
}

/// The programs, once they are built.
#[derive(Debug)]
pub struct Programs {
    built: HashMap<Build, PathBuf>,
    policies: tempfile::NamedTempFile,
}

impl Programs {
    /// Builds what the subjects need.
    pub fn build(subjects: impl IntoIterator<Item = Subject>) -> Result<Self> {
        let mut built = HashMap::new();
        let collector = Build::new("collector", Profile::Plain);
        for build in subjects.into_iter().map(Subject::build).chain([collector]) {
            if !built.contains_key(&build) {
                built.insert(build.clone(), build.executable()?);
            }
        }
        let policies = tempfile::NamedTempFile::with_suffix(".toml")?;
        // Rates as high as they can be, so that they are asked and refuse nobody.
        std::fs::write(policies.path(), "[default]\nrate.per_second = 1000000\nrate.burst = 1000000\n")?;
        let programs = Self { built, policies };
        programs.check_flavour()?;
        Ok(programs)
    }

    /// Whether ours, if it is to be measured, runs as the servers do that are built and run alike.
    fn check_flavour(&self) -> Result<()> {
        let subject = Subject::Ours(Sampled::OnePercent);
        if !self.built.contains_key(&subject.build()) {
            return Ok(());
        }
        // Nobody listens at this address, which keeps no server from starting.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut process = self.server(subject, nowhere)?.start()?;
        let line = process.line_with("runtime", Duration::from_secs(10))?;
        let expected = match OURS {
            Flavour::Multi => "runtime MultiThread",
            Flavour::Current => "runtime CurrentThread",
        };
        ensure!(line == expected, "seawall_server::launch has a {line}: OURS in subjects.rs must say the same");
        Ok(())
    }

    fn path(&self, build: &Build) -> Result<&PathBuf> {
        self.built.get(build).with_context(|| format!("{build:?} was not built"))
    }

    /// The subject, to be started.
    pub fn server(&self, subject: Subject, collector: SocketAddr) -> Result<Program> {
        let program = Program::new(self.path(&subject.build())?).core(SERVER_CORE);
        let ours = |sampled: Sampled| {
            let program = program
                .clone()
                .env("SEAWALL_SERVER_LISTEN", "127.0.0.1:0")
                .env("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")
                .env("SEAWALL_TELEMETRY_OTLP_ENDPOINT", format!("http://{collector}"))
                .env("SEAWALL_TELEMETRY_SAMPLE_RATIO", sampled.ratio())
                .env("SEAWALL_TELEMETRY_LOG_FORMAT", "json");
            program.env("SEAWALL_POLICY_FILE", self.policies.path())
        };
        let naive = |flavour: Flavour, sampled: Sampled| {
            program.clone().args([flavour.to_string(), format!("http://{collector}"), sampled.ratio().to_owned()])
        };
        Ok(match subject {
            Subject::Bare(_, flavour) => program.args([flavour.to_string()]),
            Subject::Off => program.args(["off"]),
            Subject::Ours(sampled) => ours(sampled),
            Subject::OursLogged => ours(Sampled::All).env("SEAWALL_TELEMETRY_ACCESS_LOG", "true"),
            Subject::Naive(_, flavour, sampled) => naive(flavour, sampled),
            Subject::NaiveLogged => naive(Flavour::Multi, Sampled::All).args(["log"]),
        })
    }

    /// Starts what counts spans.
    pub fn collector(&self) -> Result<Collector> {
        let program = Program::new(self.path(&Build::new("collector", Profile::Plain))?).core(CLIENT_CORE);
        let (process, address) = program.serve()?;
        Ok(Collector { process, address })
    }
}

/// The process that receives spans.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    pub address: SocketAddr,
}

impl Collector {
    /// How long spans may take to come once their calls have been answered.
    const SPANS_TIMEOUT: Duration = Duration::from_secs(30);

    /// How many spans have come in all.
    pub fn spans(&mut self) -> Result<u64> {
        self.process.say("count")?;
        let line = self.process.line_with("count", Duration::from_secs(5))?;
        let spans = line.split(' ').nth(1).context("no number of spans")?;
        Ok(spans.parse()?)
    }

    /// Waits until there are as many as `expected`, or none has come for two seconds: time enough under valgrind.
    pub fn settle(&mut self, expected: u64) -> Result<u64> {
        self.settle_within(expected, Duration::from_secs(2))
    }

    /// The same, where none comes any more that has not come within `quiet` of the one before.
    pub fn settle_within(&mut self, expected: u64, quiet: Duration) -> Result<u64> {
        let until = Instant::now() + Self::SPANS_TIMEOUT;
        let (mut seen, mut since) = (self.spans()?, Instant::now());
        while seen < expected && since.elapsed() < quiet {
            if Instant::now() >= until {
                bail!("spans do not end");
            }
            harness::pause(Duration::from_millis(20));
            let now = self.spans()?;
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        Ok(seen)
    }
}
