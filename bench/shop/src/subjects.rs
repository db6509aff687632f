//! What is compared, and where it runs.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use harness::wire::Shape;
use harness::{Build, Profile};
use stack::Sampled;

/// The processor of the whole shop: both services, and PostgreSQL.
pub(crate) const SHOP_CORE: usize = 0;
/// That of the load, and of what counts spans.
pub(crate) const CLIENT_CORE: usize = 1;

/// Sixteen calls in flight: enough that the shop's processor never waits for the load, and fewer than Seawall lets in
/// before it has learnt how many there can be (20, of which a tenth is kept for critical calls). Of more it would
/// refuse some, where bare tonic has all of them wait.
pub(crate) const SHAPE: Shape = Shape { connections: 4, streams: 4 };

/// Where a service keeps what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// Of the order service, which asks the user service.
    PlaceOrder,
    /// Of the user service.
    GetUser,
}

impl Method {
    pub(crate) const ALL: [Self; 2] = [Self::PlaceOrder, Self::GetUser];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlaceOrder => "PlaceOrder",
            Self::GetUser => "GetUser",
        })
    }
}

/// How the two services are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// On stock tonic, with nothing around them.
    Bare,
    /// As they are, with everything on, and the share of traces that is recorded.
    Ours(Sampled),
}

impl Subject {
    pub(crate) const OURS: [Self; 2] = [Self::Ours(Sampled::OnePercent), Self::Ours(Sampled::All)];
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::OURS[0], Self::OURS[1]];
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("bare"),
            Self::Ours(sampled) => write!(f, "ours-{}", sampled.name()),
        }
    }
}

/// A method of a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) method: Method,
    pub(crate) engine: Engine,
    pub(crate) subject: Subject,
    /// Whether it is the second time in a round, which tells the noise.
    pub(crate) is_again: bool,
}

impl Case {
    /// All of these engines.
    pub(crate) fn all(engines: &[Engine]) -> Vec<Self> {
        let pairs = Method::ALL.into_iter().flat_map(|method| engines.iter().map(move |engine| (method, *engine)));
        let case = |(method, engine), subject| Self { method, engine, subject, is_again: false };
        pairs.flat_map(|pair| Subject::ALL.map(|subject| case(pair, subject))).collect()
    }

    /// The same on another server.
    pub(crate) fn on(self, subject: Subject) -> Self {
        Self { subject, is_again: false, ..self }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, engine, subject, is_again } = self;
        write!(f, "{method} {engine} {subject}{}", if *is_again { " again" } else { "" })
    }
}

/// The programs of the services, built alike.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Of the user service and of the order service.
    pub(crate) bare: [PathBuf; 2],
    pub(crate) ours: [PathBuf; 2],
    pub(crate) stack: stack::Programs,
}

impl Programs {
    /// Builds all of them, which takes ten minutes the first time.
    pub(crate) fn build() -> Result<Self> {
        let build = |package: &str| Build::new(package, Profile::Release).executable();
        Ok(Self {
            bare: [build("bare-user")?, build("bare-order")?],
            ours: [build("shop-user")?, build("shop-order")?],
            stack: stack::Programs::build([])?,
        })
    }
}
