//! Cases about messages: none, large ones, and streams of them.

use anyhow::{Context as _, Result, ensure};
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::Code;

use super::Cases;
use crate::proto::{
    Empty, Payload, PayloadType, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest,
};

/// The payloads of streams, in bytes, as the cases have them.
const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [usize; 4] = [31_415, 9, 2_653, 58_979];
/// And of single messages.
const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: usize = 314_159;

/// So many zeros.
pub(super) fn zeros(size: usize) -> Option<Payload> {
    Some(Payload { r#type: PayloadType::Compressable.into(), body: vec![0; size] })
}

/// Asks for one answer of this size.
pub(super) fn asking_for(size: usize, payload: Option<Payload>) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest { response_parameters: parameters(&[size]), payload, ..Default::default() }
}

fn parameters(sizes: &[usize]) -> Vec<ResponseParameters> {
    let sizes = sizes.iter().map(|size| i32::try_from(*size).expect("the sizes of the cases are small"));
    sizes.map(|size| ResponseParameters { size, ..Default::default() }).collect()
}

/// Fails unless it is what was asked for.
pub(super) fn check(payload: Option<&Payload>, size: usize) -> Result<()> {
    let payload = payload.context("there is no payload in the answer")?;
    ensure!(payload.r#type() == PayloadType::Compressable, "the payload is of type {}", payload.r#type);
    ensure!(payload.body.len() == size, "the payload has {} bytes in place of {size}", payload.body.len());
    ensure!(payload.body.iter().all(|byte| *byte == 0), "the payload is not all zeros");
    Ok(())
}

/// The request of the large call, which the cases of HTTP/2 make as well.
pub(super) fn large() -> SimpleRequest {
    let response_size = i32::try_from(LARGE_RESPONSE).expect("the sizes of the cases are small");
    SimpleRequest { response_size, payload: zeros(LARGE_REQUEST), ..Default::default() }
}

impl Cases {
    pub(super) async fn empty_unary(&mut self) -> Result<Code> {
        self.client.empty_call(Empty {}).await?;
        Ok(Code::Ok)
    }

    pub(super) async fn large_unary(&mut self) -> Result<Code> {
        let answer = self.client.unary_call(large()).await?.into_inner();
        check(answer.payload.as_ref(), LARGE_RESPONSE)?;
        Ok(Code::Ok)
    }

    pub(super) async fn client_streaming(&mut self) -> Result<Code> {
        let requests = REQUESTS.map(|size| StreamingInputCallRequest { payload: zeros(size) });
        let answer = self.client.streaming_input_call(stream::iter(requests)).await?.into_inner();
        let (sum, expected) = (answer.aggregated_payload_size, REQUESTS.iter().sum());
        ensure!(usize::try_from(sum) == Ok(expected), "the sizes add up to {sum} in place of {expected}");
        Ok(Code::Ok)
    }

    pub(super) async fn server_streaming(&mut self) -> Result<Code> {
        let request = StreamingOutputCallRequest { response_parameters: parameters(&RESPONSES), ..Default::default() };
        let mut answers = self.client.streaming_output_call(request).await?.into_inner();
        for size in RESPONSES {
            let answer = answers.message().await?.context("the stream ends too soon")?;
            check(answer.payload.as_ref(), size)?;
        }
        ensure!(answers.message().await?.is_none(), "there are more answers than were asked for");
        Ok(Code::Ok)
    }

    pub(super) async fn ping_pong(&mut self) -> Result<Code> {
        let (sender, mut receiver) = mpsc::channel(1);
        let requests = stream::poll_fn(move |cx| receiver.poll_recv(cx));
        // The first goes along with the headers: not all servers send theirs before they have read something.
        sender.send(asking_for(RESPONSES[0], zeros(REQUESTS[0]))).await?;
        let mut answers = self.client.full_duplex_call(requests).await?.into_inner();
        for at in 0..RESPONSES.len() {
            let answer = answers.message().await?.context("the stream ends too soon")?;
            check(answer.payload.as_ref(), RESPONSES[at])?;
            if let Some(next) = REQUESTS.get(at + 1) {
                sender.send(asking_for(RESPONSES[at + 1], zeros(*next))).await?;
            }
        }
        drop(sender);
        ensure!(answers.message().await?.is_none(), "there are more answers than were asked for");
        Ok(Code::Ok)
    }

    pub(super) async fn empty_stream(&mut self) -> Result<Code> {
        let mut answers = self.client.full_duplex_call(stream::empty()).await?.into_inner();
        ensure!(answers.message().await?.is_none(), "nothing was sent, and there is an answer");
        Ok(Code::Ok)
    }
}
