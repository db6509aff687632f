//! The cases over a real socket: with our own service they pass, and with one that is wrong they do not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Request};
use seawall_client::Channel;
use seawall_config::Reader;
use seawall_interop::proto::test_service_server::{TestService, TestServiceServer};
use seawall_interop::proto::{
    Empty, FILE_DESCRIPTOR_SET, Payload, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use seawall_interop::{Case, Cases, service};
use seawall_policy::{Contract, Policies};
use seawall_server::{Config, Server};
use seawall_shutdown::Shutdown;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Response, Status, Streaming};
use tower::Service;

/// Those that a server without tricks is tried with.
const STANDARD: [Case; 14] = [
    Case::EmptyUnary,
    Case::LargeUnary,
    Case::ClientStreaming,
    Case::ServerStreaming,
    Case::PingPong,
    Case::EmptyStream,
    Case::TimeoutOnSleepingServer,
    Case::CancelAfterBegin,
    Case::CancelAfterFirstResponse,
    Case::StatusCodeAndMessage,
    Case::SpecialStatusMessage,
    Case::UnimplementedMethod,
    Case::UnimplementedService,
    Case::CustomMetadata,
];

async fn serve<S>(service: S) -> SocketAddr
where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible> + NamedService,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let variables = [("SEAWALL_SERVER_LISTEN", "127.0.0.1:0"), ("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0")];
    let config = Config::read(&mut Reader::new("", "", variables).section("server"), 0, 0);
    let bound = Server::try_new(config, FILE_DESCRIPTOR_SET).unwrap().add_service(service).bind().await.unwrap();
    let address = bound.address().unwrap();
    tokio::spawn(bound.run(Shutdown::new(Duration::from_secs(5))));
    address
}

fn cases(address: SocketAddr) -> Cases {
    let mut reader = Reader::new("", "", [("SEAWALL_INTEROP_ADDRESS", format!("http://{address}"))]);
    let config = seawall_client::Config::read(&mut reader.section("interop"), "http://127.0.0.1:1");
    let policies = Policies::try_new(Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap(), None).unwrap();
    Cases::new(Channel::new("interop", &config, &policies))
}

#[tokio::test]
async fn our_client_and_our_server_agree() {
    let address = serve(service()).await;
    for case in STANDARD {
        cases(address).run(case).await.unwrap_or_else(|error| panic!("{case}: {error:#}"));
    }
}

/// A service whose requests say how they are compressed, which is not at all: tonic alone takes those.
#[derive(Clone)]
struct Stock<S>(S);

impl<S: NamedService> NamedService for Stock<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Stock<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("identity"));
        self.0.call(request)
    }
}

#[tokio::test]
async fn our_client_and_a_server_of_tonic_agree() {
    let address = serve(Stock(service())).await;
    for case in STANDARD {
        cases(address).run(case).await.unwrap_or_else(|error| panic!("{case}: {error:#}"));
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

/// A service that answers, and never what was asked.
struct Wrong;

fn one_byte() -> Option<Payload> {
    Some(Payload { body: vec![1], ..Default::default() })
}

fn one_answer() -> Answers {
    stream::iter([Ok(StreamingOutputCallResponse { payload: one_byte() })]).boxed()
}

#[tonic::async_trait]
impl TestService for Wrong {
    type StreamingOutputCallStream = Answers;
    type FullDuplexCallStream = Answers;

    async fn empty_call(&self, _: tonic::Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn unary_call(&self, _: tonic::Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        Ok(Response::new(SimpleResponse { payload: one_byte(), ..Default::default() }))
    }

    async fn streaming_output_call(
        &self,
        _: tonic::Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(one_answer()))
    }

    async fn streaming_input_call(
        &self,
        _: tonic::Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: 1 }))
    }

    async fn full_duplex_call(
        &self,
        _: tonic::Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(one_answer()))
    }
}

#[tokio::test]
async fn a_service_that_answers_something_else_is_found_out() {
    let address = serve(TestServiceServer::new(Wrong)).await;
    // What no service decides.
    let decided_elsewhere = [Case::UnimplementedMethod, Case::UnimplementedService];
    for case in STANDARD.into_iter().filter(|case| !decided_elsewhere.contains(case)) {
        let got = cases(address).run(case).await;
        assert!(got.is_err(), "{case}: a wrong answer has passed as {got:?}");
    }
}

#[tokio::test]
async fn no_case_passes_where_nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // What is late is late wherever the server is.
    for case in STANDARD.into_iter().filter(|case| *case != Case::TimeoutOnSleepingServer) {
        let got = cases(address).run(case).await;
        assert!(got.is_err(), "{case}: {got:?}");
    }
}
