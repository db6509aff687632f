//! Little that is to become much.

use std::net::SocketAddr;
use std::sync::LazyLock;

use anyhow::Result;

use super::{METHOD, stream, streams};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PAYLOAD_BYTES_MAX, WINDOW_BYTES, call, field, frame, gzip_bomb, hello,
    message,
};
use crate::peer::Peer;

/// Calls of one attacker that carry a bomb of headers.
const HPACK_CALLS: u32 = 50;
/// A field that fills the table of the decoder, which has 4,096 bytes.
const FIELD_BYTES: usize = 4_000;
/// The first field that the decoder was told to remember.
const REMEMBERED: u8 = 0x80 | 62;

/// Made once, so that making it takes no time from good calls.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip_bomb(WINDOW_BYTES - 1_000));

/// One field of 4 kB, and references to it of a byte each: 40 MB out of 14 kB, with each call.
pub(super) async fn hpack(address: SocketAddr) -> Result<()> {
    let mut peer = greeted(address).await?;
    let mut block = call(METHOD, &[]);
    block.extend(field(0x40, "x", &"x".repeat(FIELD_BYTES)));
    block.resize(PAYLOAD_BYTES_MAX - 2_000, REMEMBERED);
    for stream in streams(HPACK_CALLS) {
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)).await;
    }
    peer.ended(streams(HPACK_CALLS)).await;
    Ok(())
}

/// Ten megabytes out of 64 kB, as much as may be sent at once.
pub(super) async fn gzip(address: SocketAddr) -> Result<()> {
    let says = u32::try_from(BOMB.len())?;
    sent(address, &[("grpc-encoding", "gzip")], &message(true, says, &BOMB), true).await
}

/// Says 1 GiB, and begins to send it.
pub(super) async fn oversized(address: SocketAddr) -> Result<()> {
    sent(address, &[], &message(false, 1 << 30, &[0; WINDOW_BYTES - 1_000]), false).await
}

async fn sent(address: SocketAddr, fields: &[(&str, &str)], body: &[u8], is_all: bool) -> Result<()> {
    let mut peer = greeted(address).await?;
    let mut bytes = frame(HEADERS, END_HEADERS, stream(0), &call(METHOD, fields));
    for part in body.chunks(PAYLOAD_BYTES_MAX) {
        bytes.extend(frame(DATA, 0, stream(0), part));
    }
    if is_all {
        bytes.extend(frame(DATA, END_STREAM, stream(0), &[]));
    }
    peer.send(&bytes).await;
    peer.ended(streams(1)).await;
    Ok(())
}

async fn greeted(address: SocketAddr) -> Result<Peer> {
    let mut peer = Peer::connect(address).await?;
    peer.send(&hello(&[])).await;
    Ok(peer)
}
