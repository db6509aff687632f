//! The message of a unary call on its way in.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use seawall_error::{Code, Error, SEAWALL};
use tokio::time::{Sleep, sleep};

use super::Message;
use super::held::{Budget, Full, Held};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Reads the body of a request until its end, or until it is more than one message may be, which is for
/// others to refuse.
pub(super) struct Arrival<B> {
    body: Option<B>,
    bytes_max: usize,
    timeout: Duration,
    held: Held,
    /// What has come: one piece as it is, or all of them copied. Nothing that is waited with keeps a piece,
    /// because that keeps the buffer alive from which it was cut.
    piece: Option<Bytes>,
    pieces: BytesMut,
    /// Since it was first waited for. On the heap, so that a call that waits for nothing is not as large.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes> + Unpin> Arrival<B> {
    pub(super) fn new(body: B, bytes_max: usize, timeout: Duration) -> Self {
        let (body, held, pieces) = (Some(body), Held::default(), BytesMut::new());
        Self { body, bytes_max, timeout, held, piece: None, pieces, timer: None }
    }

    /// The message, once it is there, counted in this budget. Not to be polled after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, budget: &Arc<Budget>) -> Poll<Result<Message<B>, Error>> {
        loop {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(Ok(Message::default())) };
            // The end, if this is it.
            let mut last = None;
            let mut is_whole = true;
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => {
                    self.pieces.extend(self.piece.take());
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
                    ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Err(late()));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if self.held.add(data.len(), budget) == Err(Full) {
                            return Poll::Ready(Err(full()));
                        }
                        match self.piece.take() {
                            None if self.pieces.is_empty() => self.piece = Some(data),
                            piece => self.pieces.extend(piece.into_iter().chain([data])),
                        }
                        let come = self.piece.as_deref().unwrap_or(&self.pieces);
                        if !body.is_end_stream() && !is_too_large(come, self.bytes_max) {
                            continue;
                        }
                        is_whole = body.is_end_stream();
                    }
                    Err(trailers) => last = Some(Ok(trailers)),
                },
                Poll::Ready(Some(Err(error))) => last = Some(Err(error)),
                Poll::Ready(None) => {}
            }
            let data = self.piece.take().unwrap_or_else(|| self.pieces.split().freeze());
            let data = (!data.is_empty()).then(|| Ok(Frame::data(data)));
            let rest = self.body.take().filter(|_| !is_whole);
            return Poll::Ready(Ok(Message { frames: [data, last], rest, _held: mem::take(&mut self.held) }));
        }
    }
}

/// Whether there is more than one message may have, or is said to come.
fn is_too_large(come: &[u8], bytes_max: usize) -> bool {
    let says = match *come {
        [_, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]) as usize,
        _ => 0,
    };
    says > bytes_max || come.len() > bytes_max.saturating_add(PREFIX_BYTES)
}

fn late() -> Error {
    SEAWALL.error(Code::DeadlineExceeded, "MESSAGE_LATE", "the message of the call has not come in time")
}

fn full() -> Error {
    SEAWALL.error(Code::Unavailable, "OVERLOADED", "too many large messages are on their way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_known_by_what_it_says_or_by_what_came() {
        assert!(!is_too_large(&[], 4));
        assert!(!is_too_large(&[0, 0, 0, 0, 4], 4));
        assert!(is_too_large(&[0, 0, 0, 0, 5], 4));
        assert!(!is_too_large(&[0; 9], 4));
        assert!(is_too_large(&[0; 10], 4));
    }
}
