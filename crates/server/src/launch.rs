//! The `main` of a service: command line, settings, telemetry, signals.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use seawall_auth::tls;
use seawall_config::{ExposeSecret as _, FILE_VARIABLE, Reader, SecretString, Section};
use seawall_limit::{Store, StoreConfig};
use seawall_policy::Policies;
use seawall_shutdown::Shutdown;

use crate::handover::Inherited;
use crate::limits::needs_no_store;
use crate::{Config, Server, admission, handover, panics};

/// What a process is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Such as `user`.
    pub name: &'static str,
    /// Usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// Where it serves gRPC unless its settings say otherwise.
    pub port: u16,
    /// Where it serves `/metrics` unless its settings say otherwise.
    pub metrics_port: u16,
    /// One line on what it is for.
    pub about: &'static str,
    /// The contracts it serves, as an encoded `google.protobuf.FileDescriptorSet`.
    pub descriptors: &'static [u8],
}

/// Runs a service until it is told to stop: `SIGTERM` or `SIGINT` drains it, a second signal ends it
/// at once.
///
/// `read` reads the service's own settings; `start` opens what the service needs and adds it to the
/// server. The exit code is 0 after a drain, 1 if the service cannot start, 2 if the command line or
/// a setting is wrong.
pub fn launch<C, F>(identity: Identity, read: fn(&mut Reader) -> C, start: F) -> ExitCode
where
    F: AsyncFnOnce(C, Server) -> anyhow::Result<Server>,
{
    let args = command(identity).get_matches();
    let settings = match Settings::load(&args, identity, read) {
        Ok(Some(settings)) if args.get_flag("probe") => return probe(identity, settings.server.metrics_listen),
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", identity.name);
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: cannot start the runtime: {error}", identity.name);
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(identity, settings, start, args.get_flag("migrate")));
    // Dropping the runtime would wait for blocking work without end, such as the last export.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error:#}", identity.name);
            ExitCode::FAILURE
        }
    }
}

/// Fails only before there is a log to say so. With `migrate` it serves nobody.
async fn run<C, F>(identity: Identity, settings: Settings<C>, start: F, migrate: bool) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce(C, Server) -> anyhow::Result<Server>,
{
    let telemetry = seawall_telemetry::init(identity.name, identity.version, &settings.telemetry)?;
    panics::log();
    let result = async {
        let shutdown = Shutdown::on_signals(settings.server.drain_timeout)?;
        let mut server = Server::with_policies(settings.server, identity.descriptors, settings.policies.clone());
        server = server.with_sockets(Inherited::take()?);
        if let Some(store) = settings.store {
            server = server.with_store(Store::connect(store).await?);
        }
        let server = tokio::select! {
            started = start(settings.service, server) => started?,
            () = shutdown.begun() => {
                // Whoever waits for the migrations must not take them for done.
                anyhow::ensure!(!migrate, "told to stop before the database was up to date");
                return Ok(());
            }
        };
        if migrate {
            tracing::info!("up to date");
            return Ok(());
        }
        let bound = server.bind().await?;
        tracing::info!(address = %bound.address()?, metrics = %bound.metrics_address()?, "listening");
        let (sockets, succeeds) = (bound.sockets()?, handover::succeed(bound.health().clone()));
        // Both end while the server goes on, the first where there is no file.
        let beside = async {
            tokio::join!(settings.policies.watch(settings.reload_interval), succeeds);
            std::future::pending::<()>().await;
        };
        // Nobody is to find a socket open that nobody accepts from: who comes while this process drains is refused,
        // and goes elsewhere.
        let hands_over = async {
            tokio::select! {
                ended = sockets.hand_over() => ended,
                () = shutdown.begun() => std::future::pending().await,
            }
        };
        tokio::select! {
            () = bound.run(shutdown.clone()) => {}
            () = beside => {}
            ended = hands_over => ended?,
        }
        tracing::info!("drained");
        anyhow::Ok(())
    }
    .await;
    if let Err(error) = &result {
        tracing::error!(cause = format!("{error:#}"), "cannot go on");
    }
    telemetry.shutdown().await;
    Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Settings<C> {
    server: Config,
    telemetry: seawall_telemetry::Config,
    policies: Policies,
    reload_interval: Duration,
    /// Where shared rates are kept, if anywhere.
    store: Option<StoreConfig>,
    service: C,
}

impl<C> Settings<C> {
    /// `None` when the user asked only to be told about them.
    fn load(args: &ArgMatches, identity: Identity, read: fn(&mut Reader) -> C) -> anyhow::Result<Option<Self>> {
        let file =
            args.get_one::<PathBuf>("config").cloned().or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
        let mut reader = Reader::from_environment(file.as_deref());
        if args.get_flag("production") {
            reader = reader.for_production();
        }
        let server = Config::read(&mut reader.section("server"), identity.port, identity.metrics_port);
        let telemetry = seawall_telemetry::Config::read(&mut reader.section("telemetry"));
        let policy = seawall_policy::Config::read(&mut reader.section("policy"));
        let store = store(&mut reader.section("redis"));
        let tls = tls::Config::read(&mut reader.section("tls"));
        let service = read(&mut reader);
        if args.get_flag("settings") {
            print_settings(identity, &reader);
            return Ok(None);
        }
        let contract = crate::contract(identity.descriptors)?;
        let policies = Policies::try_new(contract, policy.file);
        // The trust domain makes no rule right or wrong.
        let rules = admission::guard(&server, identity.descriptors, None);
        let files = tls.map_or(Ok(()), |tls| tls::check(&tls, tls.cert.is_some()));
        let mistakes = [
            reader.finish().err().map(|mistakes| mistakes.to_string()),
            policies.as_ref().err().map(ToString::to_string),
            rules.err().map(|mistakes| mistakes.to_string()),
            files.err().map(|mistakes| mistakes.to_string()),
        ];
        let mistakes: Vec<String> = mistakes.into_iter().flatten().collect();
        let policies = match policies {
            Ok(policies) if mistakes.is_empty() => policies,
            _ => anyhow::bail!(mistakes.join("\n")),
        };
        if store.is_none() {
            needs_no_store(&policies)?;
        }
        if args.get_flag("check") {
            println!("{}: the settings are good", identity.name);
            return Ok(None);
        }
        Ok(Some(Self { server, telemetry, policies, reload_interval: policy.reload_interval, store, service }))
    }
}

/// Where rates are kept that all replicas share; empty for nowhere.
fn store(section: &mut Section<'_>) -> Option<StoreConfig> {
    let url: SecretString = section.checked(
        "url",
        "",
        "Redis or Valkey for the rates that replicas share, such as redis://127.0.0.1:6379",
        "redis://[user:password@]host:port[/database], or empty",
        |url: &SecretString| url.expose_secret().is_empty() || StoreConfig::is_url(url.expose_secret()),
    );
    let replicas = section.checked(
        "replicas",
        "1",
        "how many replicas share a rate: each keeps to its part while Redis is away",
        "1 to 10000",
        |replicas| (1..=10_000).contains(replicas),
    );
    let url = url.expose_secret().to_owned();
    (!url.is_empty()).then(|| StoreConfig { url, replicas, ..StoreConfig::default() })
}

fn command(identity: Identity) -> Command {
    Command::new(identity.name)
        .version(identity.version)
        .about(identity.about)
        .after_help(
            "Settings come from variables (SEAWALL_SERVER_LISTEN), then from the file ([server] listen), then have defaults.\n\
             SIGTERM or SIGINT drains and ends the service; a second signal ends it at once.\n\
             SIGUSR2 starts the program anew on the same sockets, and drains this one when that serves.",
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Read settings from this TOML file [env: SEAWALL_CONFIG]"),
        )
        .arg(Arg::new("settings").long("settings").action(ArgAction::SetTrue).help("List every setting with its variable and default"))
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help("Check the settings and exit"))
        .arg(Arg::new("migrate").long("migrate").action(ArgAction::SetTrue).help(
            "Bring the database up to date and exit: once for all processes that have SEAWALL_SQL_MIGRATE=false",
        ))
        .arg(
            Arg::new("production")
                .long("production")
                .requires("check")
                .action(ArgAction::SetTrue)
                .help("With --check, refuse also what is for development alone"),
        )
        .arg(Arg::new("probe").long("probe").action(ArgAction::SetTrue).help(
            "Ask the service that runs with the same settings whether it is ready, and exit with 0 if so: for containers without a shell",
        ))
}

/// Asks `/readyz` of the process that listens on `address`.
fn probe(identity: Identity, mut address: SocketAddr) -> ExitCode {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    match ready(address) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: no answer from {address}: {error}", identity.name);
            ExitCode::FAILURE
        }
    }
}

fn ready(address: SocketAddr) -> std::io::Result<bool> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

fn print_settings(identity: Identity, reader: &Reader) {
    println!("Settings of {} {}, as a file; each can be set by its variable instead.", identity.name, identity.version);
    let mut section = "";
    for setting in reader.documented() {
        let (path, key) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if path != section {
            println!("\n[{path}]");
            section = path;
        }
        println!("# {} ({})", setting.help, setting.variable);
        println!("{key} = {:?}", setting.default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        name: "user",
        version: "0.0.0",
        port: 1,
        metrics_port: 2,
        about: "",
        descriptors: seawall_proto::FILE_DESCRIPTOR_SET,
    };

    /// What is wrong with settings and a file of policies.
    fn mistakes(settings: &str, policies: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (file, of_policies) = (folder.path().join("user.toml"), folder.path().join("policies.toml"));
        std::fs::write(&of_policies, policies).unwrap();
        std::fs::write(&file, format!("{settings}\n[policy]\nfile = {:?}\n", of_policies.display().to_string()))
            .unwrap();
        let args = command(IDENTITY).get_matches_from(["user".as_ref(), "--config".as_ref(), file.as_os_str()]);
        let settings = Settings::load(&args, IDENTITY, |_| ());
        settings.err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn settings_and_policies_that_are_wrong_are_told_together() {
        let said = mistakes("[server]\nstreams_max = 0", "[default]\nbudget = \"0s\"");
        assert!(said.contains("server.streams_max") && said.contains("budget = 0s"), "{said}");
    }

    #[test]
    fn files_of_tls_that_cannot_be_used_are_told_before_anything_is_started() {
        let said = mistakes("[tls]\ncert = \"/no/cert\"\nkey = \"/no/key\"\nca = \"/no/ca\"\nclient = \"anyone\"", "");
        assert!(said.contains("tls.client (in ") && said.contains("did you mean tls.clients?"), "{said}");
        for (key, file) in [("tls.cert", "/no/cert"), ("tls.key", "/no/key"), ("tls.ca", "/no/ca")] {
            assert!(said.contains(&format!("{key} = \"{file}\": cannot be read: No such file")), "{said}");
        }
    }

    #[test]
    fn what_is_for_development_is_refused_where_that_is_asked() {
        let read = |more: &[&str]| {
            let args = command(IDENTITY).get_matches_from([&["user", "--check"], more].concat());
            let settings = Settings::load(&args, IDENTITY, |_| ());
            settings.err().map(|error| format!("{error:#}")).unwrap_or_default()
        };
        assert_eq!(read(&[]), "");
        let said = read(&["--production"]);
        for key in ["server.listen", "server.metrics_listen", "tls.cert", "auth.enabled", "telemetry.sample_ratio"] {
            assert!(said.contains(&format!("- {key} (SEAWALL_")), "{key} is not in {said}");
        }
        assert!(!said.contains("server.reflection"), "it is off by itself: {said}");
    }

    #[test]
    fn a_rate_that_replicas_share_needs_a_store_before_anything_is_started() {
        let shared = "[default]\nrate.per_second = 5\nrate.shared = true";
        assert!(mistakes("", shared).contains("redis.url (SEAWALL_REDIS_URL)"));
        assert_eq!(mistakes("[redis]\nurl = \"redis://127.0.0.1:6379\"", shared), "");
        for url in ["http://127.0.0.1:6379", "redis://"] {
            let said = mistakes(&format!("[redis]\nurl = {url:?}"), "");
            assert!(said.contains("redis.url = (hidden)") && said.contains("must be redis://"), "{said}");
        }
    }

    #[test]
    fn a_fixed_limit_may_be_smaller_than_where_the_others_begin() {
        assert_eq!(mistakes("[server]\nconcurrency_limit = \"fixed\"\nconcurrency_max = 1", ""), "");
        let said = mistakes("[server]\nconcurrency_max = 19", "");
        assert!(said.contains("must be 20 to 1000000; from 1 on where concurrency_limit is fixed"), "{said}");
    }
}
