//! Cases about how a call ends: late, cancelled, with a status, not at all known.

use std::future::pending;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::payloads::{asking_for, check, zeros};
use super::{Cases, ended_with};
use crate::proto::{EchoStatus, Empty, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest};

/// The code that the cases ask for, and no other.
const ASKED: Code = Code::Unknown;
/// How long a cancelled call may be held on to: well before the deadline, which would end it as well.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Cases {
    pub(super) async fn timeout_on_sleeping_server(&mut self) -> Result<Code> {
        // The first is what the case has, and is too short for our client to send anything; the second
        // reaches the server.
        for deadline in [Duration::from_millis(1), Duration::from_millis(100)] {
            let first = StreamingOutputCallRequest { payload: zeros(27_182), ..Default::default() };
            let mut request = Request::new(stream::iter([first]).chain(stream::pending()));
            request.set_timeout(deadline);
            let answer = async { self.client.full_duplex_call(request).await?.into_inner().message().await };
            ended_with(answer.await, Code::DeadlineExceeded).with_context(|| format!("after {deadline:?}"))?;
        }
        Ok(Code::DeadlineExceeded)
    }

    /// A call is cancelled by dropping it, so that nobody is left to see a status. What can be seen is
    /// that the request is let go of, and that the next call is well.
    pub(super) async fn cancel_after_begin(&mut self) -> Result<Code> {
        let (begun, has_begun) = oneshot::channel();
        let (held, is_let_go) = oneshot::channel::<()>();
        let requests = stream::once(async move {
            let _held = held;
            // Asked for the first message, it has sent the headers.
            let _ = begun.send(());
            pending::<StreamingInputCallRequest>().await
        });
        let mut client = self.client.clone();
        tokio::select! {
            answer = client.streaming_input_call(requests) => bail!("the call ended by itself: {answer:?}"),
            begun = has_begun => begun.context("the call ended before it began")?,
        }
        self.cancelled(is_let_go).await
    }

    pub(super) async fn cancel_after_first_response(&mut self) -> Result<Code> {
        let (held, is_let_go) = oneshot::channel::<()>();
        let rest = stream::once(async move {
            let _held = held;
            pending().await
        });
        let requests = stream::iter([asking_for(31_415, zeros(27_182))]).chain(rest);
        let mut answers = self.client.full_duplex_call(requests).await?.into_inner();
        let answer = answers.message().await?.context("the stream ends too soon")?;
        check(answer.payload.as_ref(), 31_415)?;
        drop(answers);
        self.cancelled(is_let_go).await
    }

    async fn cancelled(&mut self, is_let_go: oneshot::Receiver<()>) -> Result<Code> {
        ensure!(timeout(CANCEL_TIMEOUT, is_let_go).await.is_ok(), "the request is not let go of");
        self.empty_unary().await.context("the next call")?;
        Ok(Code::Cancelled)
    }

    pub(super) async fn status_code_and_message(&mut self) -> Result<Code> {
        let message = "test status message";
        self.unary_status(message).await?;
        let response_status = Some(EchoStatus { code: ASKED.into(), message: message.into() });
        let request = StreamingOutputCallRequest { response_status, ..Default::default() };
        let call = self.client.full_duplex_call(stream::iter([request]));
        let answer = async { call.await?.into_inner().message().await };
        is_asked(&ended_with(answer.await, ASKED)?, message)
    }

    pub(super) async fn special_status_message(&mut self) -> Result<Code> {
        self.unary_status("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n").await
    }

    async fn unary_status(&mut self, message: &str) -> Result<Code> {
        let response_status = Some(EchoStatus { code: ASKED.into(), message: message.into() });
        let request = SimpleRequest { response_status, ..Default::default() };
        is_asked(&ended_with(self.client.unary_call(request).await, ASKED)?, message)
    }

    /// By its path, because our contracts do not have it either.
    pub(super) async fn unimplemented(&mut self, path: &'static str) -> Result<Code> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await?;
        let codec = ProstCodec::<Empty, Empty>::default();
        let answer = client.unary(Request::new(Empty {}), PathAndQuery::from_static(path), codec).await;
        Ok(ended_with(answer, Code::Unimplemented)?.code())
    }
}

fn is_asked(status: &Status, message: &str) -> Result<Code> {
    ensure!(status.message() == message, "the message is {:?} in place of {message:?}", status.message());
    Ok(status.code())
}
