//! The cases of the client, by the names that all interop clients give them.

mod endings;
mod http2;
mod metadata;
mod payloads;

use std::fmt;

use anyhow::{Result, bail};
use clap::ValueEnum;
use seawall_client::Channel;
use seawall_error::code_name;
use tonic::{Code, Status};

use crate::proto::test_service_client::TestServiceClient;

/// A case: the calls that are made, and what must come of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Case {
    /// A call without anything in it
    EmptyUnary,
    /// A large message each way
    LargeUnary,
    /// Several messages, and one answer
    ClientStreaming,
    /// One message, and several answers
    ServerStreaming,
    /// Several messages, each after the answer to the one before
    PingPong,
    /// A stream each way without anything in it
    EmptyStream,
    /// A deadline of one millisecond
    TimeoutOnSleepingServer,
    /// Cancelled before the first message is sent
    CancelAfterBegin,
    /// Cancelled after the first answer
    CancelAfterFirstResponse,
    /// A status comes back as it was asked for
    StatusCodeAndMessage,
    /// And so does one that is not plain text
    SpecialStatusMessage,
    /// A method that the service does not have
    UnimplementedMethod,
    /// A service that the server does not have
    UnimplementedService,
    /// Metadata comes back in headers and trailers
    CustomMetadata,
    /// The server sends GOAWAY between two calls
    Goaway,
    /// The server resets the call after the headers
    RstAfterHeader,
    /// The server resets the call in the middle of the message
    RstDuringData,
    /// The server resets the call after the message
    RstAfterData,
    /// The server sends PING between all frames
    Ping,
    /// The server allows one call at a time, and several are made
    MaxStreams,
    /// The server pads its frames
    DataFramePadding,
    /// The same server, but it does not
    NoDfPaddingSanityTest,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no case is hidden");
        f.write_str(value.get_name())
    }
}

/// The cases over one channel.
#[derive(Debug, Clone)]
pub struct Cases {
    channel: Channel,
    client: TestServiceClient<Channel>,
}

impl Cases {
    /// Through `channel`, to a peer that serves `grpc.testing.TestService`.
    pub fn new(channel: Channel) -> Self {
        Self { client: TestServiceClient::new(channel.clone()), channel }
    }

    /// Makes the calls of the case, and answers the code with which the last of those ended that it is
    /// about.
    ///
    /// # Errors
    /// If the peer did not do what the case wants; it says what it did.
    pub async fn run(mut self, case: Case) -> Result<String> {
        let code = match case {
            Case::EmptyUnary => self.empty_unary().await?,
            Case::LargeUnary | Case::Ping | Case::DataFramePadding | Case::NoDfPaddingSanityTest => {
                self.large_unary().await?
            }
            Case::ClientStreaming => self.client_streaming().await?,
            Case::ServerStreaming => self.server_streaming().await?,
            Case::PingPong => self.ping_pong().await?,
            Case::EmptyStream => self.empty_stream().await?,
            Case::TimeoutOnSleepingServer => self.timeout_on_sleeping_server().await?,
            Case::CancelAfterBegin => self.cancel_after_begin().await?,
            Case::CancelAfterFirstResponse => self.cancel_after_first_response().await?,
            Case::StatusCodeAndMessage => self.status_code_and_message().await?,
            Case::SpecialStatusMessage => self.special_status_message().await?,
            Case::UnimplementedMethod => self.unimplemented("/grpc.testing.TestService/UnimplementedCall").await?,
            Case::UnimplementedService => {
                self.unimplemented("/grpc.testing.UnimplementedService/UnimplementedCall").await?
            }
            Case::CustomMetadata => self.custom_metadata().await?,
            Case::Goaway => self.goaway().await?,
            Case::RstAfterHeader | Case::RstDuringData | Case::RstAfterData => self.reset().await?,
            Case::MaxStreams => self.max_streams().await?,
        };
        Ok(code_name(code).to_owned())
    }
}

/// Fails unless the call has ended with this code.
fn ended_with<T>(answer: Result<T, Status>, expected: Code) -> Result<Status> {
    match answer {
        Err(status) if status.code() == expected => Ok(status),
        Err(status) => {
            bail!("ended with {} ({}) in place of {}", code_name(status.code()), status.message(), code_name(expected))
        }
        Ok(_) => bail!("was answered in place of ending with {}", code_name(expected)),
    }
}
