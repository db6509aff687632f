//! Those who take their time, while the server is to wait.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{FOREVER, METHOD, stream, streams};
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, hello, message};
use crate::peer::{Peer, settings_ack};

/// What an attacker waits from byte to byte.
const PAUSE: Duration = Duration::from_millis(100);
/// Calls of one attacker that are open at a time. All attackers have as many as there are places.
const CALLS: u32 = 25;
/// What an attacker waits from call to call whose answer it does not read: these are worked on, and how many
/// calls anybody may have worked on is a matter of rates.
const BETWEEN_CALLS: Duration = Duration::from_millis(40);
/// Of SETTINGS: how much of an answer the peer may send before it is given more room.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// A method whose answer is a stream without end, which every server has.
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// Without fields.
const MESSAGE: [u8; 5] = [0; 5];

/// A frame of headers whose payload never comes to its end.
pub(super) async fn headers(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address, &[]).await?;
    let all = frame(HEADERS, END_HEADERS | END_STREAM, stream(0), &call(METHOD, &[("more", &"x".repeat(1_000))]));
    for byte in all {
        if !peer.send(&[byte]).await {
            return Ok(());
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = peer.closed() => return Ok(()),
        }
    }
    peer.closed().await;
    Ok(())
}

/// Calls with all the time of the world whose messages never come to their end.
pub(super) async fn body(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address, &[]).await?;
    for stream in streams(CALLS) {
        peer.send(&frame(HEADERS, END_HEADERS, stream, &call(METHOD, &[FOREVER]))).await;
        peer.send(&frame(DATA, 0, stream, &message(false, 1_000, &[]))).await;
    }
    loop {
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = peer.ended(streams(CALLS)) => return Ok(()),
        }
        for stream in streams(CALLS) {
            // One that has ended takes no notice.
            peer.send(&frame(DATA, 0, stream, &[0])).await;
        }
    }
}

/// Calls with all the time of the world whose answers are not read.
pub(super) async fn reader(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address, &[(INITIAL_WINDOW_SIZE, 0)]).await?;
    for stream in streams(CALLS) {
        calls(&mut peer, stream, "/seawall.user.v1.UserService/ListUsers").await;
        sleep(BETWEEN_CALLS).await;
    }
    peer.ended(streams(CALLS)).await;
    Ok(())
}

/// A connection that says nothing.
pub(crate) async fn silent(address: SocketAddr) -> Result<Peer> {
    Peer::connect(address).await
}

/// A connection with a call whose answer never ends.
pub(crate) async fn endless(address: SocketAddr) -> Result<Peer> {
    let mut peer = greeted(address, &[]).await?;
    calls(&mut peer, stream(0), WATCH).await;
    peer.answered(stream(0)).await;
    Ok(peer)
}

/// The same with an answer that is not read.
pub(crate) async fn unread(address: SocketAddr) -> Result<Peer> {
    let mut peer = greeted(address, &[(INITIAL_WINDOW_SIZE, 0)]).await?;
    calls(&mut peer, stream(0), WATCH).await;
    peer.answered(stream(0)).await;
    Ok(peer)
}

async fn calls(peer: &mut Peer, stream: u32, path: &str) {
    peer.send(&frame(HEADERS, END_HEADERS, stream, &call(path, &[FOREVER]))).await;
    peer.send(&frame(DATA, END_STREAM, stream, &MESSAGE)).await;
}

async fn greeted(address: SocketAddr, settings: &[(u16, u32)]) -> Result<Peer> {
    let mut peer = Peer::connect(address).await?;
    peer.send(&hello(settings)).await;
    peer.send(&settings_ack()).await;
    Ok(peer)
}
