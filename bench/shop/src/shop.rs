//! A shop that runs: a user service, an order service that asks it, and their databases.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::wire::Call;
use harness::{Process, Program};
use prost::Message as _;
use seawall_backends::free_port;
use seawall_proto::seawall::order::v1::{Money, OrderLine, PlaceOrderRequest};
use seawall_proto::seawall::user::v1::import_user_result::Result as Imported;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{GetUserRequest, ImportUsersRequest, User};

use crate::databases::Databases;
use crate::subjects::{Engine, Method, Programs, SHOP_CORE, Subject};

/// Users who order in turn.
const USERS: usize = 1_000;

/// A service that runs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Where it serves profiles, if it is ours.
    pub(crate) admin: SocketAddr,
}

/// Both services, and what they are called with.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) user: Service,
    pub(crate) order: Service,
    user_ids: Vec<String>,
    /// How often it was called, so that each call is another.
    calls: usize,
}

impl Shop {
    /// Starts it, and makes its users.
    pub(crate) fn open(
        programs: &Programs,
        subject: Subject,
        engine: Engine,
        databases: &Databases,
        collector: SocketAddr,
    ) -> Result<Self> {
        let [user, order] = match subject {
            Subject::Bare => &programs.bare,
            Subject::Ours(_) => &programs.ours,
        };
        let name = |service: &str| format!("{service}_{subject}").replace('-', "_");
        let start =
            |program: &Path, url: String, user: Option<SocketAddr>| serve(program, subject, url, user, collector);
        let user = start(user, databases.url(engine, &name("user"))?, None)?;
        let order = start(order, databases.url(engine, &name("order"))?, Some(user.address))?;
        let user_ids = import(user.address)?;
        Ok(Self { user, order, user_ids, calls: 0 })
    }

    /// Who answers this method.
    pub(crate) fn address(&self, method: Method) -> SocketAddr {
        match method {
            Method::PlaceOrder => self.order.address,
            Method::GetUser => self.user.address,
        }
    }

    /// The next call: of another user, and an order of its own.
    pub(crate) fn call(&mut self, method: Method) -> Call {
        self.calls += 1;
        let user_id = self.user_ids[self.calls % self.user_ids.len()].clone();
        match method {
            Method::PlaceOrder => {
                let lines = vec![line("tea", 2, 4), line("cups of white porcelain", 6, 19)];
                let idempotency_key = format!("key-{:09}", self.calls);
                let request = PlaceOrderRequest { user_id, lines, idempotency_key };
                Call::new("/seawall.order.v1.OrderService/PlaceOrder", &request.encode_to_vec())
            }
            Method::GetUser => {
                Call::new("/seawall.user.v1.UserService/GetUser", &GetUserRequest { user_id }.encode_to_vec())
            }
        }
    }

    /// What the order service and the user service have used so far.
    pub(crate) fn cpu_times(&self) -> Result<[Duration; 2]> {
        Ok([self.order.process.cpu_time()?, self.user.process.cpu_time()?])
    }

    /// Ends both.
    pub(crate) fn end(self) -> Result<()> {
        self.order.process.end()?;
        self.user.process.end()
    }
}

fn line(sku: &str, quantity: i32, units: i64) -> OrderLine {
    let unit_price = Some(Money { currency_code: "EUR".into(), units, nanos: 500_000_000 });
    OrderLine { sku: sku.into(), quantity, unit_price }
}

/// Starts a service; one that calls is told where the user service is.
fn serve(
    program: &Path,
    subject: Subject,
    url: String,
    user: Option<SocketAddr>,
    collector: SocketAddr,
) -> Result<Service> {
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut program = Program::new(program).core(SHOP_CORE).env("SEAWALL_SQL_URL", url);
    if let Some(user) = user {
        program = program.env("SEAWALL_USER_ADDRESS", format!("http://{user}"));
    }
    if let Subject::Ours(sampled) = subject {
        program = program
            .env("SEAWALL_SERVER_LISTEN", "127.0.0.1:0")
            .env("SEAWALL_SERVER_METRICS_LISTEN", admin.to_string())
            .env("SEAWALL_SERVER_ADMIN", "read")
            .env("SEAWALL_TELEMETRY_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("SEAWALL_TELEMETRY_SAMPLE_RATIO", sampled.ratio())
            .env("SEAWALL_TELEMETRY_LOG_FORMAT", "json");
    }
    let (process, address) = program.serve()?;
    Ok(Service { process, address, admin })
}

/// Makes the users, and returns their ids.
fn import(address: SocketAddr) -> Result<Vec<String>> {
    let rows = (0..USERS).map(|n| ImportUsersRequest {
        user: Some(User {
            email: format!("ada-{n}@example.com"),
            display_name: "Ada Lovelace".into(),
            ..User::default()
        }),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let response = runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let rows: Vec<_> = rows.collect();
        anyhow::Ok(UserServiceClient::new(channel).import_users(tokio_stream::iter(rows)).await?.into_inner())
    });
    let results = response.context("the users cannot be made")?.results;
    let ids: Vec<String> = results
        .into_iter()
        .map(|row| match row.result {
            Some(Imported::UserId(user_id)) => Ok(user_id),
            other => bail!("a user cannot be made: {other:?}"),
        })
        .collect::<Result<_>>()?;
    ensure!(ids.len() == USERS, "{} users of {USERS} were made", ids.len());
    Ok(ids)
}
