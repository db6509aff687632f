//! `cargo seawall call`: calls a method of a service, by what the service itself says of its contracts.

mod codec;
mod header;
mod input;
mod method;
mod nearest;
mod outcome;
mod prepared;
mod reflection;
mod shape;
mod target;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use prost_reflect::bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use tokio_stream::iter;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::signals::Signals;
use crate::terminal::{self, BOLD, count, styled};
use codec::Raw;
use header::Header;
pub(crate) use outcome::time;
pub(crate) use prepared::Prepared;
use reflection::Contracts;
pub(crate) use target::{Target, TlsFiles};

/// As much as a message may have, either way.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long a call may take unless you say otherwise: what servers give those that name no deadline.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const STREAM_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3_600);
/// More than a header of gRPC can say with its eight digits of hours is of no use.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How much later than its deadline a call is given up that the server does not end.
const GRACE: Duration = Duration::from_millis(500);

/// Calls a method of a service that runs here or elsewhere, with a message as JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo seawall call order                                          its methods
  cargo seawall call order PlaceOrder --describe                    what it takes and answers, and a call to try
  cargo seawall call user ListUsers --json '{\"page_size\": 1}'
  cargo seawall call order PlaceOrder --json @order.json --timeout 500ms -H 'authorization: Bearer …'
  cargo seawall call order WatchOrder --json '{\"order_id\": \"…\"}'    answers as they come, until Ctrl-C
  jq -c '.[]' users.json | cargo seawall call user ImportUsers --json -    a stream, one message after another
  cargo seawall call 127.0.0.1:50051 seawall.user.v1.UserService/GetUser --json '{}'
  cargo seawall call https://shop.example --ca ca.pem --list

Answers go to standard output, on a terminal indented and elsewhere one a line; how the call ended goes to
standard error. The exit code is 0, or 64 and the code of gRPC (69 is NOT_FOUND), or 1 if nothing was called.")]
pub(crate) struct Args {
    /// A service that runs here, host:port, or a URL (https:// for TLS)
    target: String,
    /// `PlaceOrder`, `OrderService/PlaceOrder`, or with its package; without one, all are listed
    method: Option<String>,
    /// List the methods
    #[arg(long, conflicts_with_all = ["describe", "messages"])]
    list: bool,
    /// Show what the method takes and answers, and a call to begin with
    #[arg(long, requires = "method", conflicts_with = "messages")]
    describe: bool,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    tls: TlsFiles,
}

/// What is sent.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Sending {
    /// The message: JSON, @FILE, or - for standard input; several, one after another, for a stream [default: {}]
    #[arg(long = "json", value_name = "JSON|@FILE|-")]
    messages: Vec<String>,
    /// A header; the value of a name that ends in -bin is base64
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// How long the call may take [default: 30s; 1h for a stream]
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
}

/// A duration that is no mistake.
fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(timeout) if timeout.is_zero() || timeout > TIMEOUT_MAX => {
            Err("must be more than 0s and at most a year".to_owned())
        }
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(format!("{error}; write it as in 250ms, 10s or 5min")),
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(execute(args));
    // A name that is being looked up is not waited for.
    runtime.shutdown_background();
    code
}

async fn execute(args: &Args) -> Result<ExitCode> {
    let target = Target::resolve(&args.target, &args.tls)?;
    // Before anything is asked: what is piped in is read while the server is there.
    let texts = input::read(&args.sending.messages)?;
    let channel = target.connect().await?;
    let contracts = Contracts::of(&channel, &args.sending.headers).await?;
    let Some(name) = args.method.as_ref().filter(|_| !args.list) else {
        method::list(&contracts, &args.target)?;
        return Ok(ExitCode::SUCCESS);
    };
    let method = method::find(&contracts, name)?;
    if args.describe {
        describe(&args.target, &method)?;
        return Ok(ExitCode::SUCCESS);
    }
    let call = Call::try_new(&method, &texts, &args.sending)?;
    let trace = Trace::of(&args.sending.headers);
    let ended = call.show(channel, &trace, &method.output()).await?;
    if target.is_ours {
        terminal::status("Trace", format!("{}: cargo seawall trace {}", trace.id, &trace.id[..8]));
    } else {
        terminal::status("Trace", &trace.id);
    }
    Ok(ended)
}

fn describe(target: &str, method: &MethodDescriptor) -> Result<()> {
    shape::method(method).into_iter().try_for_each(terminal::print)?;
    terminal::print("")?;
    let example = shape::example(&method.input()).replace('\'', r"'\''");
    terminal::print(styled(BOLD, "Try it"))?;
    terminal::print(format!("cargo seawall call {target} {} --json '{example}'", method.name()))
}

/// Asks the target for its contracts and reads what is to be sent: the full name of the method, and its calls.
///
/// # Errors
/// If there is no such method, or a message is none of it.
pub(crate) async fn prepare(target: &Target, method: &str, sending: &Sending) -> Result<(String, Prepared)> {
    let texts = input::read(&sending.messages)?;
    let channel = target.connect().await?;
    let contracts = Contracts::of(&channel, &sending.headers).await?;
    let method = method::find(&contracts, method)?;
    let name = method::path(&method)?.as_str().trim_start_matches('/').to_owned();
    Ok((name, Prepared::try_new(method, texts, sending)?))
}

/// The trace that a call begins.
#[derive(Debug)]
pub(crate) struct Trace {
    id: String,
    /// Nothing where the user says which trace it is.
    header: Option<Header>,
    is_recorded: bool,
}

impl Trace {
    /// A new one.
    pub(crate) fn new(is_recorded: bool) -> Self {
        let id = format!("{:032x}", rand::random::<u128>().max(1));
        let value = format!("00-{id}-{:016x}-0{}", rand::random::<u64>().max(1), u8::from(is_recorded));
        Self { id, header: Some(Header::owned("traceparent", value)), is_recorded }
    }

    /// A new one that is recorded, unless the headers say which.
    fn of(headers: &[Header]) -> Self {
        let given = headers.iter().find(|header| header.name() == "traceparent");
        match given.and_then(|header| header.value().split('-').nth(1)).filter(|id| id.len() == 32 && id.is_ascii()) {
            Some(id) => Self { id: id.to_owned(), header: None, is_recorded: true },
            None => Self::new(true),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }
}

/// A method with what is sent to it, ready to be called any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    path: PathAndQuery,
    messages: Vec<Bytes>,
    headers: Vec<Header>,
    timeout: Duration,
    is_streaming: bool,
}

impl Call {
    /// Reads the messages; without any, an empty one is sent where one is taken.
    ///
    /// # Errors
    /// If one is not a message of the method, or there are several where one is taken.
    fn try_new(method: &MethodDescriptor, texts: &[String], sending: &Sending) -> Result<Self> {
        let input = method.input();
        let mut messages = input::messages(texts, &input)?;
        if !method.is_client_streaming() {
            if messages.is_empty() {
                messages.push(DynamicMessage::new(input));
            }
            anyhow::ensure!(
                messages.len() == 1,
                "{} takes one message, and --json has {}; a call each, or a method that takes a stream",
                method.name(),
                messages.len()
            );
        }
        Self::of(method, &messages, sending)
    }

    /// With messages of the method.
    fn of(method: &MethodDescriptor, messages: &[DynamicMessage], sending: &Sending) -> Result<Self> {
        let is_streaming = method.is_client_streaming() || method.is_server_streaming();
        Ok(Self {
            path: method::path(method)?,
            messages: messages.iter().map(|message| message.encode_to_vec().into()).collect(),
            headers: sending.headers.clone(),
            timeout: sending.timeout.unwrap_or(if is_streaming { STREAM_TIMEOUT_DEFAULT } else { TIMEOUT_DEFAULT }),
            is_streaming,
        })
    }

    /// Sends it. The answers come one after another; a call that fails at once has none. Dropping it
    /// cancels the call.
    async fn begin(&self, channel: Channel, trace: &Trace) -> Result<Streaming<Bytes>, Status> {
        let mut request = Request::new(iter(self.messages.clone()));
        header::add(request.metadata_mut(), self.headers.iter().chain(&trace.header))?;
        request.set_timeout(self.timeout);
        let mut client = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(client.streaming(request, self.path.clone(), Raw).await?.into_inner())
    }

    /// Calls, and reads all answers. Ends soon after the timeout, whatever the server does.
    pub(crate) async fn finish(&self, channel: Channel, trace: &Trace) -> Result<(), Status> {
        let (began, mut answered) = (Instant::now(), false);
        let calling = async {
            let mut answers = self.begin(channel, trace).await?;
            while answers.message().await?.is_some() {
                answered = true;
            }
            if answered || self.is_streaming { Ok(()) } else { Err(unanswered()) }
        };
        let ended = tokio::time::timeout(self.timeout + GRACE, calling).await;
        let ended = ended.unwrap_or_else(|_| Err(too_late()));
        ended.map_err(|status| self.by_deadline(status, began))
    }

    /// The client's own end of a call that is too late has a code that says something else.
    fn by_deadline(&self, status: Status, began: Instant) -> Status {
        let is_ours = status.code() == Code::Cancelled && began.elapsed() >= self.timeout;
        if is_ours { Status::deadline_exceeded("the call has taken longer than it may; see --timeout") } else { status }
    }

    /// Calls, and prints answers as they come and how it ended.
    async fn show(&self, channel: Channel, trace: &Trace, output: &MessageDescriptor) -> Result<ExitCode> {
        let mut signals = Signals::listen()?;
        let (began, mut answered) = (Instant::now(), 0);
        let calling = async {
            let mut answers = self.begin(channel, trace).await?;
            while let Some(answer) = answers.message().await? {
                print_answer(answer, output)?;
                answered += 1;
            }
            if answered == 0 && !self.is_streaming {
                return Err(Ended::Status(Status::new(
                    Code::Internal,
                    "the server has ended the call without an answer",
                )));
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.timeout + GRACE, calling) => {
                ended.unwrap_or_else(|_| Err(Ended::Status(too_late())))
            }
            () = signals.next() => Err(Ended::Interrupted),
        };
        let ended = ended.map_err(|ended| match ended {
            Ended::Status(status) => Ended::Status(self.by_deadline(status, began)),
            ended => ended,
        });
        let took = outcome::time(began.elapsed());
        let answers =
            if self.is_streaming { format!(", {}", count(answered, "answer", "answers")) } else { String::new() };
        match ended {
            Ok(()) => {
                terminal::status("OK", format!("in {took}{answers}"));
                Ok(ExitCode::SUCCESS)
            }
            Err(Ended::Interrupted) => {
                terminal::warning("Cancelled", format!("after {took}{answers}"));
                Ok(ExitCode::from(outcome::exit_code(Code::Cancelled)))
            }
            Err(Ended::Status(status)) => {
                outcome::lines(&status).into_iter().for_each(terminal::progress);
                terminal::warning("Failed", format!("after {took}{answers}"));
                Ok(ExitCode::from(outcome::exit_code(status.code())))
            }
            Err(Ended::Unprinted(error)) => Err(error),
        }
    }
}

/// A call that the server goes on with after its deadline.
fn too_late() -> Status {
    Status::deadline_exceeded("the server has not ended the call in time")
}

/// A unary call that the server has ended well and not answered.
fn unanswered() -> Status {
    Status::new(Code::Internal, "the server has ended the call without an answer")
}

/// Why a call has not ended well.
enum Ended {
    Status(Status),
    Interrupted,
    /// What it answered could not be shown.
    Unprinted(anyhow::Error),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Self {
        Self::Unprinted(error)
    }
}

/// On a terminal for people, elsewhere one a line for programs.
fn print_answer(answer: Bytes, output: &MessageDescriptor) -> Result<()> {
    let message = DynamicMessage::decode(output.clone(), answer);
    let message = message.with_context(|| format!("the answer is no {}", output.full_name()))?;
    let options = SerializeOptions::new().skip_default_fields(true);
    let mut text = Vec::new();
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        message.serialize_with_options(&mut serde_json::Serializer::pretty(&mut text), &options)?;
    } else {
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options)?;
    }
    terminal::print(String::from_utf8_lossy(&text))
}
