//! Calls that wait for a connection until their deadline, and calls that do not.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use seawall_balance::{Address, Watched};
use seawall_client::{Channel, WaitForReady};
use seawall_deadline::Deadline;
use seawall_proto::seawall::user::v1::CreateUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Code, Request};

use crate::gate::Gate;
use crate::settings::{configured, users};
use crate::shop::{Answer, Running, Shop, create, policies, serve, until};

async fn server(name: &'static str) -> Running {
    serve(Shop::new(move |_| async move { Ok(name.to_owned()) })).await
}

/// A server behind a gate that is closed.
async fn closed(name: &'static str) -> (Running, Gate) {
    let server = server(name).await;
    let gate = Gate::to(server.address).await;
    gate.close();
    (server, gate)
}

/// Makes a call that says whether it waits.
async fn call(mut users: UserServiceClient<Channel>, waits: bool) -> Answer {
    let mut request = Request::new(CreateUserRequest::default());
    request.extensions_mut().insert(WaitForReady(waits));
    Ok(users.create_user(request).await?.into_inner().user.unwrap().user_id)
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_call_waits_only_if_it_or_the_setting_says_so_and_until_its_deadline() {
    let nowhere = nowhere().await;
    let of = |ended: Answer| ended.unwrap_err().code();
    let soon = || Deadline::after(Duration::from_millis(400));
    let fails = users("waits-not", &[nowhere], &[]);
    assert_eq!(of(create(fails.clone()).await), Code::Unavailable);
    assert_eq!(of(soon().scope(call(fails.clone(), true)).await), Code::DeadlineExceeded);
    let waits = users("waits-set", &[nowhere], &[("WAIT_FOR_READY", "true")]);
    assert_eq!(of(soon().scope(create(waits.clone())).await), Code::DeadlineExceeded);
    assert_eq!(of(call(waits, false).await), Code::Unavailable);
}

#[tokio::test]
async fn calls_that_wait_are_made_when_their_endpoint_is_there() {
    let (_server, gate) = closed("only").await;
    let users = users("waits-one", &[gate.address], &[]);
    create(users.clone()).await.unwrap_err();
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(call(users.clone(), true))).collect();
    let dialled = gate.accepted();
    until("it was dialled again in vain", || gate.accepted() >= dialled + 2).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    gate.open();
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), "only");
    }
}

#[tokio::test]
async fn calls_that_wait_go_to_another_endpoint_when_that_is_there() {
    let ((_one, one), (_two, two)) = (closed("one").await, closed("two").await);
    let users = users("waits-two", &[one.address, two.address], &[]);
    create(users.clone()).await.unwrap_err();
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(call(users.clone(), true))).collect();
    let dialled = [one.accepted(), two.accepted()];
    until("both were dialled in vain", || one.accepted() > dialled[0] + 1 && two.accepted() > dialled[1] + 1).await;
    two.open();
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), "two");
    }
}

#[tokio::test]
async fn calls_that_wait_are_made_when_there_are_endpoints_or_others() {
    let there = server("there").await;
    let addresses = |sockets: &[SocketAddr]| -> Vec<Address> {
        sockets.iter().map(|socket| Address::new(socket.to_string().parse().unwrap())).collect()
    };
    let (endpoints, found) = watch::channel(Vec::new());
    let config = configured(&[there.address], &[]);
    let policies = policies("breaker.kind = \"off\"");
    let channel = Channel::discovered("waits-found", &config, &policies, Watched::new(found));
    let users = UserServiceClient::new(channel);
    let status = create(users.clone()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "no endpoint of the service is known"));
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(call(users.clone(), true))).collect();
    tokio::task::yield_now().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    let gone = Gate::to(there.address).await;
    gone.close();
    endpoints.send_replace(addresses(&[gone.address]));
    until("the endpoint that is found does not work", || gone.accepted() > 2).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    endpoints.send_replace(addresses(&[there.address]));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), "there");
    }
}
