//! `--with`: PostgreSQL, Redis and Jaeger beside the services, started here or given by URL.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_backends::{
    Jaeger, JaegerPorts, Options, Postgres, Redis, RunningJaeger, RunningPostgres, RunningRedis, create_database,
};

use super::addresses::Addresses;
use crate::layout::Layout;
use crate::terminal;
use crate::workspace::Service;

const POSTGRES_PORT: u16 = 5432;
const REDIS_PORT: u16 = 6379;
const JAEGER_OTLP_PORT: u16 = 14_317;
const JAEGER_QUERY_PORT: u16 = 16_686;
const JAEGER_QUERY_GRPC_PORT: u16 = 16_685;

/// One value of `--with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct With {
    kind: Kind,
    /// A server that runs already; without one, we start our own.
    url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Redis,
    Jaeger,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Jaeger => "jaeger",
        }
    }
}

impl FromStr for With {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text.split_once('=').map_or((text, None), |(name, url)| (name, Some(url.to_owned())));
        let (kind, schemes): (_, &[&str]) = match name {
            "postgres" => (Kind::Postgres, &["postgres://", "postgresql://"]),
            "redis" => (Kind::Redis, &["redis://", "rediss://"]),
            "jaeger" => (Kind::Jaeger, &["http://"]),
            _ => return Err("there are: postgres, redis, jaeger, each with or without =URL".to_owned()),
        };
        if url.as_ref().is_some_and(|url| !schemes.iter().any(|scheme| url.starts_with(scheme))) {
            return Err(format!("the URL of {name} begins with {}", schemes.join(" or ")));
        }
        Ok(Self { kind, url })
    }
}

/// Fails if something is asked for twice.
pub(super) fn check(with: &[With]) -> Result<()> {
    for (index, one) in with.iter().enumerate() {
        if with[..index].iter().any(|other| other.kind == one.kind) {
            bail!("`--with` names {} twice; take one of them away", one.kind.as_str());
        }
    }
    Ok(())
}

/// Whether SQL is PostgreSQL's rather than SQLite's.
pub(super) fn sql_backend(with: &[With]) -> &'static str {
    if with.iter().any(|with| with.kind == Kind::Postgres) { "postgres" } else { "sqlite" }
}

/// A server, ours or another's.
#[derive(Debug)]
enum Server<T> {
    Ours(T),
    Given(String),
}

/// What runs beside the services.
#[derive(Debug, Default)]
pub(super) struct Backing {
    postgres: Option<Server<RunningPostgres>>,
    redis: Option<Server<RunningRedis>>,
    jaeger: Option<Server<RunningJaeger>>,
    /// Servers of ours whose end has been told.
    ended: Vec<&'static str>,
}

impl Backing {
    /// Starts what has no URL, and makes a database for each service that wants SQL. Dropping it ends
    /// what has been started.
    pub(super) async fn start(
        with: &[With],
        layout: &Layout,
        addresses: &mut Addresses,
        services: &[Service],
    ) -> Result<Self> {
        let mut backing = Self::default();
        for With { kind, url } in with {
            match kind {
                Kind::Postgres => backing.postgres = Some(postgres(url.as_ref(), layout, addresses).await?),
                Kind::Redis => backing.redis = Some(redis(url.as_ref(), layout, addresses).await?),
                Kind::Jaeger => backing.jaeger = Some(jaeger(url.as_ref(), layout, addresses).await?),
            }
        }
        if let Some(postgres) = &backing.postgres {
            for service in services.iter().filter(|service| service.metadata.sql) {
                let url = database_url(postgres, "postgres");
                let made = create_database(&url, &database(&service.name)).await;
                made.with_context(|| format!("{} cannot be used", without_secrets(&url)))?;
            }
        }
        Ok(backing)
    }

    /// Where a service has its data.
    pub(super) fn sql_url(&self, layout: &Layout, service: &str) -> String {
        match &self.postgres {
            Some(postgres) => database_url(postgres, &database(service)),
            None => format!("sqlite://{}", layout.data().join(format!("{service}.db")).display()),
        }
    }

    pub(super) fn redis_url(&self) -> Option<String> {
        self.redis.as_ref().map(|redis| match redis {
            Server::Ours(redis) => redis.url(),
            Server::Given(url) => url.clone(),
        })
    }

    /// Where traces are sent on to.
    pub(super) fn forward_url(&self) -> Option<String> {
        self.jaeger.as_ref().map(|jaeger| match jaeger {
            Server::Ours(jaeger) => jaeger.otlp_url(),
            Server::Given(url) => url.clone(),
        })
    }

    /// What a person opens to see traces; of a given one we know only where it receives.
    pub(super) fn jaeger_url(&self) -> Option<String> {
        self.jaeger.as_ref().map(|jaeger| match jaeger {
            Server::Ours(jaeger) => jaeger.query_url(),
            Server::Given(url) => url.clone(),
        })
    }

    /// A server of ours that has ended since this was last asked.
    pub(super) fn newly_ended(&mut self) -> Option<&'static str> {
        let ours = [
            ("postgres", has_ended(&mut self.postgres, RunningPostgres::has_ended)),
            ("redis", has_ended(&mut self.redis, RunningRedis::has_ended)),
            ("jaeger", has_ended(&mut self.jaeger, RunningJaeger::has_ended)),
        ];
        let (name, _) = ours.into_iter().find(|(name, has_ended)| *has_ended && !self.ended.contains(name))?;
        self.ended.push(name);
        Some(name)
    }

    /// Ends what was started. What takes longer than `timeout` is left to its guard, which ends it.
    pub(super) async fn stop(self, timeout: Duration) {
        let stop = async {
            if let Some(Server::Ours(jaeger)) = self.jaeger {
                jaeger.stop().await;
            }
            if let Some(Server::Ours(redis)) = self.redis {
                redis.stop().await;
            }
            if let Some(Server::Ours(postgres)) = self.postgres {
                postgres.stop().await;
            }
        };
        if tokio::time::timeout(timeout, stop).await.is_err() {
            terminal::warning("Ending", "what runs beside the services takes longer; it ends by itself");
        }
    }
}

fn has_ended<T>(server: &mut Option<Server<T>>, ask: fn(&mut T) -> bool) -> bool {
    match server {
        Some(Server::Ours(server)) => ask(server),
        Some(Server::Given(_)) | None => false,
    }
}

async fn postgres(url: Option<&String>, layout: &Layout, addresses: &mut Addresses) -> Result<Server<RunningPostgres>> {
    let Some(url) = url else {
        let postgres = Postgres::find().context("`--with postgres` has nothing to start")?;
        let port = addresses.pick("postgres", POSTGRES_PORT)?.port();
        let data = layout.data().join("postgres");
        let running = postgres.start(&data, port, &layout.log("postgres"), Options::default()).await?;
        terminal::status("Started", format!("PostgreSQL on 127.0.0.1:{port}"));
        return Ok(Server::Ours(running));
    };
    Ok(Server::Given(url.clone()))
}

async fn redis(url: Option<&String>, layout: &Layout, addresses: &mut Addresses) -> Result<Server<RunningRedis>> {
    let Some(url) = url else {
        let redis = Redis::find().context("`--with redis` has nothing to start")?;
        let port = addresses.pick("redis", REDIS_PORT)?.port();
        let data = layout.data().join("redis");
        let running = redis.start(&data, port, &layout.log("redis"), Options::default()).await?;
        terminal::status("Started", format!("Redis on 127.0.0.1:{port}"));
        return Ok(Server::Ours(running));
    };
    Ok(Server::Given(url.clone()))
}

async fn jaeger(url: Option<&String>, layout: &Layout, addresses: &mut Addresses) -> Result<Server<RunningJaeger>> {
    let Some(url) = url else {
        let jaeger = Jaeger::find(&[layout.tools().bin()]).context("`--with jaeger` has nothing to start")?;
        let ports = JaegerPorts {
            otlp: addresses.pick("jaeger", JAEGER_OTLP_PORT)?.port(),
            query: addresses.pick("jaeger's pages", JAEGER_QUERY_PORT)?.port(),
            query_grpc: addresses.pick("jaeger's API", JAEGER_QUERY_GRPC_PORT)?.port(),
        };
        let running = jaeger.start(ports, &layout.log("jaeger"), Options::default()).await?;
        terminal::status("Started", format!("Jaeger, {}", running.query_url()));
        return Ok(Server::Ours(running));
    };
    Ok(Server::Given(url.clone()))
}

/// `user` alone is a word of SQL.
fn database(service: &str) -> String {
    format!("seawall_{service}")
}

/// The URL of a database of the server; of a given server the URL's own for its "postgres".
fn database_url(postgres: &Server<RunningPostgres>, database: &str) -> String {
    match postgres {
        Server::Ours(postgres) => postgres.url(database),
        Server::Given(url) if database == "postgres" => url.clone(),
        Server::Given(url) => with_database(url, database),
    }
}

/// Replaces the path of a URL.
fn with_database(url: &str, database: &str) -> String {
    let (before, options) =
        url.split_once('?').map_or((url, String::new()), |(url, options)| (url, format!("?{options}")));
    let (scheme, rest) = before.split_once("://").unwrap_or(("postgres", before));
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    format!("{scheme}://{host}/{database}{options}")
}

/// A URL without the name and password in it, to be shown.
pub(super) fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let host = rest[..host_end].rsplit('@').next().unwrap_or_default();
    let path = rest[host_end..].split('?').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backing_is_a_name_with_or_without_a_url() {
        assert_eq!("postgres".parse(), Ok(With { kind: Kind::Postgres, url: None }));
        let given = With { kind: Kind::Jaeger, url: Some("http://h:4317".into()) };
        assert_eq!("jaeger=http://h:4317".parse(), Ok(given));
        assert!("mysql".parse::<With>().unwrap_err().contains("postgres, redis, jaeger"));
        assert!("redis=http://h".parse::<With>().unwrap_err().contains("redis://"));
    }

    #[test]
    fn nothing_is_asked_for_twice() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<With>>();
        assert!(check(&parse(&["postgres", "redis", "jaeger"])).is_ok());
        let twice = check(&parse(&["redis", "postgres", "postgres=postgres://h"])).unwrap_err().to_string();
        assert!(twice.contains("postgres twice"), "{twice}");
    }

    #[test]
    fn each_service_has_its_own_database_on_a_given_server() {
        let given = Server::Given("postgres://u:p@h:1/postgres?sslmode=disable".to_owned());
        assert_eq!(database_url(&given, "seawall_user"), "postgres://u:p@h:1/seawall_user?sslmode=disable");
        assert_eq!(with_database("postgres://h", "x"), "postgres://h/x");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_secrets("redis://:p@ss@h:6379/0?x=y"), "redis://h:6379/0");
        assert_eq!(without_secrets("redis://h:6379"), "redis://h:6379");
    }
}
