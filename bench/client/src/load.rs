//! The calls of one client, and what they cost this process. Run in a process of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use seawall_config::Reader;
use seawall_proto::seawall::user::v1::GetUserRequest;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::allocations;
use crate::subject::{Subject, seawall_channel, tonic_channel};

/// What is asked for: a UUID, as ids are.
const USER_ID: &str = "0192f0c1-2b7e-7c4a-9d50-3f6f6b1f2a11";

/// Calls before the clock is started, for each that is in flight: connections are made and all is warm.
const WARM_UP: usize = 200;

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Load {
    pub(crate) subject: Subject,
    pub(crate) in_flight: usize,
    pub(crate) calls: usize,
    #[arg(value_delimiter = ',')]
    pub(crate) servers: Vec<SocketAddr>,
    /// Whether allocations are counted, which takes time.
    #[arg(long)]
    pub(crate) is_counting: bool,
}

impl Load {
    pub(crate) fn counting(self) -> Self {
        Self { is_counting: true, ..self }
    }
}

/// What it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) calls: usize,
    pub(crate) took: Duration,
    /// Of the processor, in user mode and in the kernel.
    pub(crate) cpu: Duration,
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// Makes the calls. Every one of them succeeds, or this panics.
pub(crate) async fn run(load: &Load) -> Cost {
    match load.subject {
        Subject::Bare => called(load, tonic_channel(&load.servers, false)).await,
        Subject::Balanced => called(load, tonic_channel(&load.servers, true)).await,
        Subject::Ours => {
            // Metrics are counted and the trace context is sent; nothing is exported.
            let mut reader = Reader::new("", "", [("SEAWALL_TELEMETRY_LOG_FILTER", "warn")]);
            let config = seawall_telemetry::Config::read(&mut reader.section("telemetry"));
            let telemetry = seawall_telemetry::init("bench-client", "0.0.0", &config).expect("it is set up once");
            let cost = called(load, seawall_channel(&load.servers)).await;
            telemetry.shutdown().await;
            cost
        }
    }
}

async fn called<C>(load: &Load, channel: C) -> Cost
where
    C: GrpcService<Body, ResponseBody: Send + 'static, Future: Send, Error: Into<tonic::codegen::StdError>>
        + Clone
        + Send
        + 'static,
    <C::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
    C::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes>,
{
    let client = UserServiceClient::new(channel);
    made(&client, load.in_flight, load.in_flight * WARM_UP).await;
    if load.is_counting {
        allocations::begin();
    }
    let (began, cpu) = (Instant::now(), cpu_time());
    made(&client, load.in_flight, load.calls).await;
    let (took, cpu) = (began.elapsed(), cpu_time() - cpu);
    let (allocations, bytes) = allocations::end();
    Cost { calls: load.calls, took, cpu, allocations, bytes }
}

/// Makes that many calls, always as many at a time.
async fn made<C>(client: &UserServiceClient<C>, in_flight: usize, calls: usize)
where
    C: GrpcService<Body, ResponseBody: Send + 'static, Future: Send, Error: Into<tonic::codegen::StdError>>
        + Clone
        + Send
        + 'static,
    <C::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
    C::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes>,
{
    let mut callers = JoinSet::new();
    for caller in 0..in_flight {
        let mut client = client.clone();
        let calls = calls / in_flight + usize::from(caller < calls % in_flight);
        callers.spawn(async move {
            for _ in 0..calls {
                let request = GetUserRequest { user_id: USER_ID.to_owned() };
                let response = client.get_user(request).await.expect("every call succeeds").into_inner();
                assert_eq!(response.user.expect("a user").user_id, USER_ID);
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no caller panics");
    }
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the kernel knows");
    [usage.user_time(), usage.system_time()]
        .map(|time| {
            Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
        .into_iter()
        .sum()
}
