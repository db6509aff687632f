//! The page of live state, as an operator sees it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The state of one policy; null if there is none of that name.
pub(crate) async fn state(metrics: SocketAddr, kind: &str, name: &str) -> Value {
    let (status, body) = ask(metrics, "GET", "/policies").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()[kind][name].clone()
}

/// Has a policy do something.
pub(crate) async fn command(metrics: SocketAddr, kind: &str, name: &str, command: &str) {
    let answer = ask(metrics, "PUT", &format!("/policies/{kind}/{name}?set={command}")).await;
    assert_eq!(answer, (200, "done\n".to_owned()));
}

async fn ask(metrics: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(metrics).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
