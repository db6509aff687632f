//! The program, as it is run: its settings come from the environment, and everything is real but whom it calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

//% if sql
use __root___proto::__root__::__name__::v1::GetItemRequest;
//% else
use __root___proto::__root__::__name__::v1::CheckItemRequest;
//% end
use seawall_testkit::Service;

//% if sql
use crate::harness::{connect, create};
//% else
use crate::harness::{chosen, connect};
//% end
//% if calls
use crate::harness::Peers;
//% else
use crate::harness::Settings;
//% end

/// As cargo has built it for these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE___name__");

fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

//% if sql
#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_is_there_after_a_kill_and_calls_are_counted() {
    let folder = tempfile::tempdir().unwrap();
//% if calls
    let peers = Peers::start().await;
    let mut settings = peers.settings();
//% else
    let mut settings = Settings::new();
//% end
    settings.push(("SEAWALL_SQL_URL", format!("sqlite://{}/__name__.db", folder.path().display())));
    let mut service = Service::start_program(PROGRAM, settings);
    let item = create(&connect(&service.url()), "first").await;
    service.kill();
    service.start_again();

    let request = GetItemRequest { item_id: item.item_id.clone() };
    let found = connect(&service.url()).get_item(request).await.unwrap().into_inner();
    assert_eq!(found.item, Some(item));
    let counted = metrics(service.metrics_address());
    assert!(counted.contains("__root__.__name__.v1.__Name__Service/GetItem"), "{counted}");
    service.terminate();
}
//% else
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_and_counted() {
//% if calls
    let peers = Peers::start().await;
    let settings = peers.settings();
//% else
    let settings = Settings::new();
//% end
    let service = Service::start_program(PROGRAM, settings);
    let request = CheckItemRequest { item: Some(chosen("first")) };
    let checked = connect(&service.url()).check_item(request).await.unwrap().into_inner();
    assert_eq!(checked.item, Some(chosen("first")));
    let counted = metrics(service.metrics_address());
    assert!(counted.contains("__root__.__name__.v1.__Name__Service/CheckItem"), "{counted}");
    service.terminate();
}
//% end
