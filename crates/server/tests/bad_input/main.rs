//! Bad input: what a server answers to what no client should send, case by case.
//!
//! Every case has a connection of its own to one server, on which it sends bytes that are written here
//! bit by bit. Expected is what RFC 9113, RFC 7541, gRPC over HTTP/2 and gRPC's status codes ask for;
//! where Seawall answers something else, the case says what and why. After each case a call on another
//! connection, which has been open all the time, must still be answered. All of it is done twice: with a
//! service of tonic's, and with one whose unary method is served as those of our generated servers are.

mod case;
mod fields;
mod frames;
mod hpack;
mod lean;
mod messages;
mod metadata;
mod outcome;
mod paths;
mod peer;
mod requests;
mod service;
mod settings;
mod streams;
mod timeouts;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use seawall_config::Reader;
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;

use case::Case;
use outcome::Outcome;

/// How many cases there are at least: a table that shrinks is noticed.
const CASES_MIN: usize = 240;

async fn serve() -> (SocketAddr, Shutdown) {
    let variables = [
        ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0"),
        // A method whose requests are a stream.
        ("SEAWALL_SERVER_REFLECTION", "true"),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let server = Server::try_new(config, &lean::DESCRIPTORS).unwrap();
    let lean = lean::Lean { health: server.health().clone(), stock: server.health().service() };
    let bound = server.add_service(service::Streams).add_service(lean).bind().await.unwrap();
    let address = bound.address().unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    tokio::spawn(bound.run(shutdown.clone()));
    (address, shutdown)
}

fn cases() -> Vec<Case> {
    let groups = [
        requests::cases(),
        fields::cases(),
        metadata::cases(),
        timeouts::cases(),
        paths::cases(),
        messages::cases(),
        frames::cases(),
        settings::cases(),
        streams::cases(),
        hpack::cases(),
    ];
    groups.into_iter().flatten().collect()
}

#[tokio::test]
async fn bad_input_has_the_right_answer_and_harms_no_other_call() {
    all_are_right(cases()).await;
}

#[tokio::test]
async fn bad_input_to_a_generated_server_of_ours_has_the_same_answer() {
    all_are_right(cases().into_iter().map(Case::lean).collect()).await;
}

async fn all_are_right(cases: Vec<Case>) {
    let (address, _shutdown) = serve().await;
    let mut good = peer::Good::connect(address).await;
    let mut wrong = Vec::new();
    println!("{:<62} {:<34} {:<34} by", "case", "expected", "got");
    for case in &cases {
        let got = peer::play(address, case).await;
        let is_right = got == case.answer();
        let mark = if is_right { "" } else { "  <-- wrong" };
        println!("{:<62} {:<34} {:<34} {}{mark}", case.name, case.right.to_string(), got.to_string(), case.rule);
        if !is_right {
            wrong.push(format!("{}: expected {}, got {got} ({})", case.name, case.answer(), case.rule));
        }
        assert_eq!(good.call().await, Outcome::Grpc(tonic::Code::Ok), "another connection suffers from: {}", case.name);
    }
    let differences: Vec<_> = cases.iter().filter_map(|case| Some((case.name, case.differs?))).collect();
    println!("{} cases, {} wrong, {} known differences:", cases.len(), wrong.len(), differences.len());
    for (name, (got, reason)) in &differences {
        println!("  {name}: {got}, because {reason}");
    }
    assert!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= CASES_MIN, "there are only {} cases", cases.len());
}

#[test]
fn no_two_cases_are_called_alike() {
    let mut names: Vec<_> = cases().iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert_eq!(names.windows(2).find(|pair| pair[0] == pair[1]), None);
}
