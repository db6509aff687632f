//! The service: what each method answers is decided by the request.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use seawall_error::{Error, SEAWALL};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::proto::test_service_server::TestService;
use crate::proto::{
    EchoStatus, Empty, Payload, PayloadType, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

/// The largest payload that can be asked for. A message of a peer with default settings holds it.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024 - 64;

type Answers = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

/// The service.
#[derive(Debug)]
pub(crate) struct Interop {
    server_id: String,
}

impl Interop {
    pub(crate) fn new() -> Self {
        Self { server_id: format!("seawall-{}", std::process::id()) }
    }
}

#[tonic::async_trait]
impl TestService for Interop {
    type StreamingOutputCallStream = Answers;
    type FullDuplexCallStream = Answers;

    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let request = request.into_inner();
        asked_status(request.response_status)?;
        let payload = Some(payload("response_size", request.response_size)?);
        let server_id = if request.fill_server_id { self.server_id.clone() } else { String::new() };
        Ok(Response::new(SimpleResponse { payload, server_id }))
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(answers(request.into_inner())))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut requests = request.into_inner();
        let mut sum = 0_i32;
        while let Some(request) = requests.try_next().await? {
            let size = request.payload.map_or(0, |payload| payload.body.len());
            sum = sum.saturating_add(i32::try_from(size).unwrap_or(i32::MAX));
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: sum }))
    }

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Answers>, Status> {
        // One after the other: the next request is not read before the last one was answered.
        Ok(Response::new(request.into_inner().map_ok(answers).try_flatten().boxed()))
    }
}

/// The answers that a request asks for, one made when the one before it is on its way.
fn answers(request: StreamingOutputCallRequest) -> Answers {
    if let Err(status) = asked_status(request.response_status) {
        return stream::iter([Err(status)]).boxed();
    }
    stream::iter(request.response_parameters).then(answer).boxed()
}

async fn answer(parameters: ResponseParameters) -> Result<StreamingOutputCallResponse, Status> {
    if let Ok(interval @ 1..) = u64::try_from(parameters.interval_us) {
        tokio::time::sleep(Duration::from_micros(interval)).await;
    }
    Ok(StreamingOutputCallResponse { payload: Some(payload("response_parameters.size", parameters.size)?) })
}

fn payload(field: &str, size: i32) -> Result<Payload, Error> {
    match usize::try_from(size) {
        Ok(size @ ..=PAYLOAD_BYTES_MAX) => {
            Ok(Payload { r#type: PayloadType::Compressable.into(), body: vec![0; size] })
        }
        _ => Err(SEAWALL.invalid(field, &format!("must be 0 to {PAYLOAD_BYTES_MAX}"))),
    }
}

/// Fails with the status if there is one, in the caller's own words, as the cases want it.
fn asked_status(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(EchoStatus { code, message }) if code != 0 => Err(Status::new(Code::from_i32(code), message)),
        _ => Ok(()),
    }
}
