//! Connections beyond what one address may have.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{EMPTY, Handler, connect, post, serve};

const MAX: [(&str, &str); 1] = [("SEAWALL_SERVER_CONNECTIONS_PER_PEER_MAX", "2")];

/// A connection from one of the addresses of this machine, once the server has said something.
async fn from(host: u8, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, host], 0).into())?;
    let mut stream = socket.connect(address).await?;
    // The server's SETTINGS, which it sends unasked.
    stream.read_exact(&mut [0; 9]).await?;
    Ok(stream)
}

#[tokio::test]
async fn a_peer_with_too_many_connections_has_the_next_one_closed_and_others_are_served() {
    let (address, _shutdown) = serve(&MAX, Handler::none()).await;
    let (first, _second) = (from(1, address).await.unwrap(), from(1, address).await.unwrap());
    for _ in 0..3 {
        from(1, address).await.expect_err("it is the third of its peer");
    }
    from(2, address).await.expect("it is the first of its peer");
    drop(first);
    // The server notices when it reads.
    while from(1, address).await.is_err() {}
}

#[tokio::test]
async fn a_peer_has_as_many_connections_as_there_are_unless_the_settings_say_otherwise() {
    let (address, _shutdown) = serve(&[], Handler::none()).await;
    let mut connections = Vec::new();
    for _ in 0..50 {
        connections.push(connect(address, &h2::client::Builder::new()).await);
    }
    for (sender, _) in &connections {
        let request = post("/grpc.health.v1.Health/Check").body(()).unwrap();
        let (answer, mut body) = sender.clone().ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(EMPTY.into(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}
