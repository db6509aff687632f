//! The page of live state, and its commands.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_config::Reader;
use seawall_provenance::{CommandError, Live, publish};
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
struct Breaker(Mutex<String>);

impl Live for Breaker {
    fn state(&self) -> serde_json::Value {
        serde_json::json!({ "state": *self.0.lock().unwrap() })
    }

    fn command(&self, command: &str) -> Result<(), CommandError> {
        if command != "open" {
            return Err(CommandError::Unknown { allowed: "open" });
        }
        command.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn policies_are_shown_and_commanded() {
    let breaker: Arc<dyn Live> = Arc::new(Breaker(Mutex::new("closed".into())));
    publish("breakers", "user/seawall.user.v1.UserService/GetUser", Arc::downgrade(&breaker));
    let variables = [
        ("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0"),
        ("SEAWALL_SERVER_ADMIN", "write"),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let bound = Server::try_new(config, seawall_proto::FILE_DESCRIPTOR_SET).unwrap().bind().await.unwrap();
    let address = bound.metrics_address().unwrap();
    tokio::spawn(bound.run(Shutdown::new(Duration::ZERO)));

    let state = async || {
        let (status, body) = ask(address, "GET", "/policies").await;
        assert_eq!(status, 200);
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        page["breakers"]["user/seawall.user.v1.UserService/GetUser"]["state"].as_str().unwrap().to_owned()
    };
    let name = "/policies/breakers/user/seawall.user.v1.UserService/GetUser";
    assert_eq!(state().await, "closed");
    assert_eq!(ask(address, "PUT", &format!("{name}?set=open")).await, (200, "done\n".to_owned()));
    assert_eq!(state().await, "open");

    let (status, body) = ask(address, "PUT", &format!("{name}?set=ajar")).await;
    let expected = "breakers/user/seawall.user.v1.UserService/GetUser: \"ajar\": unknown command; it takes open\n";
    assert_eq!((status, body.as_str()), (400, expected));
    assert_eq!(ask(address, "PUT", name).await.0, 400);
    assert_eq!(ask(address, "PUT", "/policies/breakers/nobody?set=open").await.0, 404);
    // What any page in a browser could send.
    assert_eq!(ask(address, "POST", &format!("{name}?set=open")).await.0, 405);
}
