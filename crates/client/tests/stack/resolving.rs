//! A name whose addresses change: it is looked up again when a connection is lost, and not all the time.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use seawall_client::{Channel, Config, Connect, Io, Tcp};
use seawall_config::Reader;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;

use crate::gate::Gate;
use crate::shop::{Shop, create, policies, serve, until};

/// A network with one name.
#[derive(Debug, Default)]
struct Names {
    addresses: Mutex<Vec<SocketAddr>>,
    lookups: AtomicUsize,
}

#[derive(Debug)]
struct Network(Arc<Names>);

impl Connect for Network {
    fn connect(&self, authority: &Authority) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        Tcp.connect(authority)
    }

    fn resolve(&self, _: &Authority) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.0.lookups.fetch_add(1, Ordering::SeqCst);
        let addresses = self.0.addresses.lock().unwrap().clone();
        async move { Ok(addresses) }.boxed()
    }
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_its_endpoint_is_lost() {
    let (before, after) = (serve(named("before")).await, serve(named("after")).await);
    let gate = Gate::to(before.address).await;
    let names = Arc::new(Names { addresses: Mutex::new(vec![gate.address]), ..Names::default() });
    let variables = [("SEAWALL_PEER_ADDRESS", "http://shop.test:80"), ("SEAWALL_PEER_RESOLVE_INTERVAL", "1h")];
    let mut reader = Reader::new("", "", variables);
    let mut config = Config::read(&mut reader.section("peer"), "http://127.0.0.1:1");
    reader.finish().unwrap();
    config.connector = Arc::new(Network(Arc::clone(&names)));
    let policies = policies("breaker.kind = \"off\"");
    let users = UserServiceClient::new(Channel::new("resolved", &config, &policies));
    let begun = Instant::now();
    assert_eq!(create(users.clone()).await.unwrap(), "before");
    assert_eq!(names.lookups.load(Ordering::SeqCst), 1);

    gate.close();
    until("it is looked up again", || names.lookups.load(Ordering::SeqCst) > 1).await;
    until("it is dialled in vain", || gate.accepted() > 6).await;
    let lookups = names.lookups.load(Ordering::SeqCst);
    let allowed = 2 + begun.elapsed().as_secs() as usize;
    println!("dialled {} times, looked up {lookups} times of {allowed} that are allowed", gate.accepted());
    assert!(lookups <= allowed, "{lookups}");

    *names.addresses.lock().unwrap() = vec![after.address];
    while create(users.clone()).await.ok().as_deref() != Some("after") {
        assert!(begun.elapsed().as_secs() < 60, "it is never looked up again");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn named(name: &'static str) -> Shop {
    Shop::new(move |_| async move { Ok(name.to_owned()) })
}
