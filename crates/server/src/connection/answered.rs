//! The body of an answer, which tells the task of its call whether the peer keeps it waiting.
//!
//! hyper asks a body for the next part only when the last one has gone to the peer, or to where it waits
//! for the peer. So a task that waits after its body had something to send waits for the peer, and one
//! that waits after its body had nothing waits for the handler. Parts are cut to a size, because hyper
//! takes a part as a whole once there is room for a byte of it.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::SEND_BUFFER_BYTES_MAX;

thread_local! {
    /// Whether the body that this thread has just asked had something to send.
    static HAD_SOMETHING: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Polls a task; with whether the body of its answer had something to send when it was asked last.
pub(super) fn noted<T>(poll: impl FnOnce() -> T) -> (T, Option<bool>) {
    HAD_SOMETHING.set(None);
    let polled = poll();
    (polled, HAD_SOMETHING.get())
}

pin_project! {
    /// The body.
    pub(super) struct Answered<B> {
        #[pin]
        body: B,
        // What is sent before the body goes on: what is left of a part that was cut.
        rest: Bytes,
    }
}

impl<B> Answered<B> {
    /// A body with a text before it, which may be empty.
    pub(super) fn new(text: Bytes, body: B) -> Self {
        Self { body, rest: text }
    }
}

impl<B: Body<Data = Bytes>> Body for Answered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if !this.rest.is_empty() {
            HAD_SOMETHING.set(Some(true));
            let part = this.rest.split_to(this.rest.len().min(SEND_BUFFER_BYTES_MAX));
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let mut frame = this.body.poll_frame(cx);
        HAD_SOMETHING.set(Some(frame.is_ready()));
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(data) = frame.data_mut()
            && data.len() > SEND_BUFFER_BYTES_MAX
        {
            *this.rest = data.split_off(SEND_BUFFER_BYTES_MAX);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn a_part_that_is_large_is_cut_and_whole_in_the_end() {
        for bytes in [0, 1, SEND_BUFFER_BYTES_MAX, SEND_BUFFER_BYTES_MAX + 1, 5 * SEND_BUFFER_BYTES_MAX / 2] {
            let whole: Bytes = (0..bytes).map(|at| (at / 7) as u8).collect();
            let mut body = Answered::new(Bytes::new(), Full::new(whole.clone()));
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                let part = frame.unwrap().into_data().unwrap();
                assert!((1..=SEND_BUFFER_BYTES_MAX).contains(&part.len()));
                read.extend(part);
                assert_eq!(body.size_hint().exact(), Some((bytes - read.len()) as u64));
                assert_eq!(body.is_end_stream(), read.len() == bytes);
            }
            assert!(read == whole, "{bytes}");
        }
    }
}
