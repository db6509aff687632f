//! The hosts: three user services on one database, and an order service that asks them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use seawall_config::Reader;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_server::Server;
use seawall_shutdown::Shutdown;

use crate::disk;
use crate::faulty::{Faulty, Health};
use crate::journal::Journal;
use crate::network::{Network, Port};

/// The user services.
pub(crate) const USERS: [&str; 3] = ["user-0", "user-1", "user-2"];
/// All that serve.
pub(crate) const HOSTS: [&str; 4] = ["order", USERS[0], USERS[1], USERS[2]];

/// How long calls in flight may take to end at a drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// What a drain may take beside that (the invariant of the whole project).
const DRAIN_MARGIN: Duration = Duration::from_secs(1);
/// How long a process that could not start is down.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The shop. Clones are the same one. What it holds is outside of the hosts and outlives their crashes.
#[derive(Debug, Clone)]
pub(crate) struct Shop(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    journal: Journal,
    health: HashMap<&'static str, Health>,
    /// The switch of each process that runs.
    running: RefCell<HashMap<&'static str, Shutdown>>,
}

impl Shop {
    /// With its databases in `folder`.
    pub(crate) fn new(folder: &Path, journal: Journal) -> Self {
        let health = USERS.map(|name| (name, Health::default())).into();
        Self(Rc::new(Inner { folder: folder.to_owned(), journal, health, running: RefCell::default() }))
    }

    /// Adds the hosts to the simulation, and starts them.
    pub(crate) fn open(&self, sim: &mut turmoil::Sim<'_>) {
        for name in HOSTS {
            let shop = self.clone();
            sim.host(name, move || {
                let shop = shop.clone();
                async move {
                    // On the heap, because the type of all that a process does is deeper than the compiler looks.
                    Box::pin(shop.keep_running(name)).await;
                    Ok(())
                }
            });
        }
    }

    /// How the host `name`, a user service, is.
    pub(crate) fn health(&self, name: &str) -> &Health {
        &self.0.health[name]
    }

    /// Calls that all user services together have been asked.
    pub(crate) fn calls_of_users(&self) -> u64 {
        self.0.health.values().map(Health::calls).sum()
    }

    /// Tells the process on host `name` to drain and to end. False if none runs.
    pub(crate) fn drain(&self, name: &str) -> bool {
        let running = self.0.running.borrow();
        running.get(name).inspect(|shutdown| shutdown.begin()).is_some()
    }

    /// The process on host `name` has crashed.
    pub(crate) fn crashed(&self, name: &str) {
        self.0.running.borrow_mut().remove(name);
    }

    /// Whether a process runs on host `name`.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.0.running.borrow().contains_key(name)
    }

    /// A process and whoever starts it again when it cannot start. Ends after a drain.
    async fn keep_running(&self, name: &'static str) {
        loop {
            self.0.journal.note(name, "starts");
            let shutdown = Shutdown::new(DRAIN_TIMEOUT);
            self.0.running.borrow_mut().insert(name, shutdown.clone());
            let ended = self.process(name, &shutdown).await;
            match ended {
                Ok(()) => break,
                Err(error) => self.0.journal.note(name, format_args!("cannot start: {error:#}")),
            }
            if shutdown.has_begun() {
                break;
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
        self.0.running.borrow_mut().remove(name);
        self.0.journal.note(name, "has ended");
    }

    /// What the `main` of a service does, over the simulated network.
    async fn process(&self, name: &'static str, shutdown: &Shutdown) -> anyhow::Result<()> {
        let server = if name == "order" { self.order().await? } else { self.user(name).await? };
        let port = Port::open().await.context("the port cannot be opened")?;
        let begun = async {
            shutdown.begun().await;
            tokio::time::Instant::now()
        };
        let (served, begun) = tokio::join!(server.serve(port, shutdown.clone()), begun);
        let took = begun.elapsed();
        if took > DRAIN_TIMEOUT + DRAIN_MARGIN {
            self.0.journal.violation(format_args!("{name}: the drain took {took:?}"));
        }
        Ok(served?)
    }

    async fn order(&self) -> anyhow::Result<Server> {
        let mut reader = self.reader("order", ORDER_SETTINGS);
        let (server, mut config) = (server(&mut reader)?, order::Config::read(&mut reader));
        reader.finish()?;
        config.sql = config.sql.with_inline_sqlite(disk::delay);
        config.user.connector = std::sync::Arc::new(Network);
        Ok(order::start(config, server).await?)
    }

    /// As `user::start` does it, with what can make the service ill around it.
    async fn user(&self, name: &str) -> anyhow::Result<Server> {
        let mut reader = self.reader("user", &[]);
        let (server, config) = (server(&mut reader)?, user::Config::read(&mut reader));
        reader.finish()?;
        let database = server.health().latch("database");
        let users = user::Users::open(&config.sql.with_inline_sqlite(disk::delay)).await?;
        database.ready();
        Ok(server.add_service(Faulty::new(users.service(), self.health(name).clone())))
    }

    fn reader(&self, database: &str, settings: &[(&str, &str)]) -> Reader {
        let url = format!("sqlite://{}/{database}.db", self.0.folder.display());
        Reader::new("", "", [("SEAWALL_SQL_URL", url.as_str())].iter().chain(settings).copied())
    }
}

/// What an order service is told. A connection that leads nowhere is to be found within the time that
/// a simulation has.
const ORDER_SETTINGS: &[(&str, &str)] = &[
    ("SEAWALL_USER_ADDRESS", "http://user:50051"),
    ("SEAWALL_USER_KEEPALIVE_INTERVAL", "2s"),
    ("SEAWALL_USER_KEEPALIVE_TIMEOUT", "1s"),
];

fn server(reader: &mut Reader) -> anyhow::Result<Server> {
    let mut config = seawall_server::Config::read(&mut reader.section("server"), 0, 0);
    // The load of the machine that simulates has no part in it.
    config.cpu = None;
    Ok(Server::try_new(config, FILE_DESCRIPTOR_SET)?)
}
