//! The callers: what they ask, what they remember of the answers, and what must be true of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use seawall_client::Channel;
use seawall_config::Reader;
use seawall_deadline::Deadline;
use seawall_policy::{Contract, Policies};
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{
    GetOrderRequest, ListOrdersRequest, Money, Order, OrderLine, PlaceOrderRequest,
};
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, User};
use tonic::{Code, Status};

use crate::journal::Journal;
use crate::network::Network;
use crate::plan::{FAULTS_BEGIN, FAULTS_END, RECOVERY, WATCHED};

/// How many there are. Each has a user and calls one call after the other.
pub(crate) const SHOPPERS: usize = 4;
/// What a call may take beyond its deadline: two steps of the network and of the clock.
const LATE_MAX: Duration = Duration::from_millis(20);
/// What trouble may look like. Anything else would tell a caller of something that is not so.
const TROUBLE: [Code; 4] = [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Aborted];

/// What all of them have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) placed: u64,
    /// Calls of PlaceOrder with a key that had no answer yet: each explains one call of GetUser.
    pub(crate) unanswered: u64,
    /// The last call that failed began here.
    pub(crate) last_failure: Option<Duration>,
}

/// The services as all of them call them: one channel for each, as a process has.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    orders: OrderServiceClient<Channel>,
    users: UserServiceClient<Channel>,
}

impl Peers {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let policies = Policies::try_new(Contract::try_new(&[FILE_DESCRIPTOR_SET])?, None)?;
        // A connection that leads nowhere is to be found within the time that a simulation has.
        let mut reader = Reader::new(
            "",
            "",
            [("SEAWALL_PEERS_KEEPALIVE_INTERVAL", "2s"), ("SEAWALL_PEERS_KEEPALIVE_TIMEOUT", "1s")],
        );
        let mut read = |address| {
            let mut config = seawall_client::Config::read(&mut reader.section("peers"), address);
            config.connector = Arc::new(Network);
            config
        };
        let (orders, users) = (read("http://order:50051"), read("http://user:50051"));
        reader.finish()?;
        Ok(Self {
            orders: OrderServiceClient::new(Channel::new("order", &orders, &policies)),
            users: UserServiceClient::new(Channel::new("user", &users, &policies)),
        })
    }
}

/// One of them.
pub(crate) struct Shopper {
    name: String,
    rng: Rng,
    journal: Journal,
    seen: Rc<RefCell<Seen>>,
    /// Codes that are no lie under the plan of this run.
    allowed: Vec<Code>,
    peers: Peers,
    user_id: String,
    /// The orders that were asked for, by key, with what was answered.
    keys: BTreeMap<String, Option<Order>>,
}

impl Shopper {
    pub(crate) fn new(
        number: usize,
        peers: Peers,
        rng: Rng,
        journal: Journal,
        seen: Rc<RefCell<Seen>>,
        allowed: &[Code],
    ) -> Self {
        Self {
            name: format!("shop-{number}"),
            rng,
            journal,
            seen,
            allowed: TROUBLE.iter().chain(allowed).copied().collect(),
            peers,
            user_id: String::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Shops until the end, and then reads everything again.
    pub(crate) async fn shop(mut self) {
        self.sign_up().await;
        while now() < FAULTS_END + RECOVERY + WATCHED {
            let pause = Duration::from_millis(self.rng.u64(5..300));
            tokio::time::sleep(pause).await;
            let placed = self.keys.values().flatten().count();
            match self.rng.u32(..10) {
                0..=4 => self.place_new().await,
                5 | 6 => self.place_again().await,
                _ if placed > 0 => self.get_one().await,
                _ => {}
            }
        }
        self.read_all().await;
    }

    /// Before anything goes wrong, so it must not fail; the services may just be starting.
    async fn sign_up(&mut self) {
        let email = format!("{}@example.com", self.name);
        let user = User { email, display_name: self.name.clone(), ..User::default() };
        while now() < FAULTS_BEGIN {
            let request = CreateUserRequest { user: Some(user.clone()) };
            match self.peers.users.clone().create_user(request).await {
                Ok(response) => {
                    self.user_id = response.into_inner().user.unwrap_or_default().user_id;
                    self.journal.note(&self.name, format_args!("is {}", self.user_id));
                    return;
                }
                Err(status) => self.journal.note(&self.name, format_args!("CreateUser {:?}", status.code())),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.journal.violation(format_args!("{} cannot sign up although nothing is wrong", self.name));
    }

    async fn place_new(&mut self) {
        let key = format!("{}-{}", self.name, self.keys.len());
        self.keys.insert(key.clone(), None);
        self.place(key).await;
    }

    /// With a key that was used before, whether it was answered or not.
    async fn place_again(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let number = self.rng.usize(..self.keys.len());
        if let Some(key) = self.keys.keys().nth(number).cloned() {
            self.place(key).await;
        }
    }

    async fn place(&mut self, key: String) {
        let request = request(&self.user_id, &key);
        if self.keys[&key].is_none() {
            self.seen.borrow_mut().unanswered += 1;
        }
        let mut orders = self.peers.orders.clone();
        let placing = async move { orders.place_order(request).await };
        let Some(response) = self.call(&format!("PlaceOrder {key}"), placing).await else { return };
        let order = response.order.unwrap_or_default();
        self.journal.note(&self.name, format_args!("{key} is {}", order.order_id));
        if let Some(first) = &self.keys[&key] {
            if *first != order {
                self.journal.violation(format_args!("{key}: was {first:?}, is {order:?}"));
            }
            return;
        }
        self.seen.borrow_mut().placed += 1;
        self.keys.insert(key, Some(order));
    }

    async fn get_one(&mut self) {
        let known: Vec<Order> = self.keys.values().flatten().cloned().collect();
        let order = known[self.rng.usize(..known.len())].clone();
        self.get(order).await;
    }

    /// What was acknowledged must be there, and as it was.
    async fn get(&mut self, order: Order) {
        let request = GetOrderRequest { order_id: order.order_id.clone() };
        let mut orders = self.peers.orders.clone();
        let getting = async move { orders.get_order(request).await };
        let Some(response) = self.call(&format!("GetOrder {}", order.order_id), getting).await else { return };
        if response.order.as_ref() != Some(&order) {
            self.journal.violation(format_args!("{}: was {order:?}, is {:?}", order.order_id, response.order));
        }
    }

    /// At the end: each order that was acknowledged, and the list of all, in which no key has two.
    async fn read_all(&mut self) {
        for order in self.keys.values().flatten().cloned().collect::<Vec<_>>() {
            self.get(order).await;
        }
        let request = ListOrdersRequest { user_id: self.user_id.clone(), page_size: 1_000, page_token: String::new() };
        let mut orders = self.peers.orders.clone();
        let listing = async move { orders.list_orders(request).await };
        let Some(response) = self.call("ListOrders", listing).await else { return };
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for order in response.orders {
            let key = order.lines.first().map(|line| line.sku.clone()).unwrap_or_default();
            found.entry(key).or_default().push(order.order_id);
        }
        for (key, ids) in &found {
            if ids.len() > 1 || !self.keys.contains_key(key) {
                self.journal.violation(format_args!("{key} was ordered {} times: {ids:?}", ids.len()));
            }
        }
        for (key, order) in &self.keys {
            let id = order.as_ref().map(|order| &order.order_id);
            if id.is_some_and(|id| found.get(key).is_none_or(|ids| !ids.contains(id))) {
                self.journal.violation(format_args!("{key} was acknowledged and is not in the list"));
            }
        }
    }

    /// Makes a call with a deadline of its own; `None` if it failed as calls may.
    async fn call<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Option<T> {
        let began = now();
        let has_recovered = began >= FAULTS_END + RECOVERY;
        // Where nothing is wrong, it is not the deadline that calls fail by.
        let timeout = Duration::from_millis(if has_recovered { 2_000 } else { self.rng.u64(50..3_000) });
        let answer = Deadline::after(timeout).scope(call).await;
        let took = now() - began;
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.journal.note(&self.name, format_args!("{what}: {code:?} after {took:?} of {timeout:?}"));
        self.seen.borrow_mut().calls += 1;
        if took > timeout + LATE_MAX {
            self.journal.violation(format_args!("{what} took {took:?}, its deadline was after {timeout:?}"));
        }
        let status = match answer {
            Ok(response) => return Some(response.into_inner()),
            Err(status) => status,
        };
        let mut seen = self.seen.borrow_mut();
        seen.failed += 1;
        seen.last_failure = seen.last_failure.max(Some(began));
        if !self.allowed.contains(&code) {
            self.journal.violation(format_args!("{what} failed with {code:?}: {}", status.message()));
        } else if has_recovered {
            let late = began - FAULTS_END;
            self.journal.violation(format_args!("{what} failed {late:?} after the last fault: {}", status.message()));
        }
        None
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// The order has its key as its article, by which it is known in the list.
fn request(user_id: &str, key: &str) -> PlaceOrderRequest {
    let unit_price = Some(Money { currency_code: "EUR".into(), units: 4, nanos: 500_000_000 });
    let lines = vec![OrderLine { sku: key.into(), quantity: 2, unit_price }];
    PlaceOrderRequest { user_id: user_id.into(), lines, idempotency_key: key.into() }
}
