//! What a server says of its contracts, by gRPC's server reflection.
//!
//! Version 1 is asked for first and v1alpha where there is no other; on the wire both are the same but for
//! the name of the service.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::header::{self, Header};
use crate::lint::descriptors;
use crate::terminal;
use crate::workspace::Workspace;

/// Newest first.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// A server with more files than this is not telling contracts.
const FILES_MAX: usize = 10_000;
/// Part of a trace that is not recorded: what is asked here is not what the user calls.
const UNRECORDED: Header = Header::new("traceparent", "00-5ea3a11000000000000000000000ca11-5ea3a1100000ca11-00");

/// The contracts of a server.
#[derive(Debug)]
pub(crate) struct Contracts {
    pub(crate) pool: DescriptorPool,
    /// The names of the services that it has.
    names: BTreeSet<String>,
}

impl Contracts {
    /// Asks the server; where it does not tell, those of the workspace are taken, and that is said.
    ///
    /// # Errors
    /// If neither can be had.
    pub(crate) async fn of(channel: &Channel, headers: &[Header]) -> Result<Self> {
        let mut refused = None;
        for path in PATHS {
            match Conversation::begin(channel, path, headers).await {
                Ok(mut conversation) => match conversation.contracts().await {
                    Err(error) if is_unimplemented(&error) => refused = Some(error),
                    told => return told.context("the server's reflection is of no use"),
                },
                Err(status) if status.code() == Code::Unimplemented => refused = Some(status.into()),
                Err(status) => {
                    return Err(anyhow::anyhow!(said(&status)).context("the server does not tell its contracts"));
                }
            }
        }
        let refused = refused.map_or_else(String::new, |error| format!("{error:#}"));
        let own = Self::of_workspace().with_context(|| {
            format!(
                "the server has no reflection ({refused}): set server.reflection (SEAWALL_SERVER_REFLECTION=true) there"
            )
        })?;
        terminal::warning("Contracts", "the server has no reflection; those of proto/ here are taken");
        Ok(own)
    }

    fn of_workspace() -> Result<Self> {
        let folder = Workspace::find()?.root.join("proto");
        if !folder.is_dir() {
            bail!("there are no contracts here: no folder proto/");
        }
        let pool = DescriptorPool::decode(descriptors(&folder)?.as_slice())?;
        let names = pool.services().map(|service| service.full_name().to_owned()).collect();
        Ok(Self { pool, names })
    }

    /// Those that `files` have, of these names.
    ///
    /// # Errors
    /// If one file lacks another.
    pub(crate) fn try_new(files: Vec<FileDescriptorProto>, names: BTreeSet<String>) -> Result<Self> {
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files).context("its contracts do not fit together")?;
        Ok(Self { pool, names })
    }

    /// The services, by name.
    pub(crate) fn services(&self) -> impl Iterator<Item = ServiceDescriptor> {
        self.names.iter().filter_map(|name| self.pool.get_service_by_name(name))
    }
}

fn is_unimplemented(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::Unimplemented)
}

/// A status as cause of another error.
fn said(status: &Status) -> String {
    format!("{}: {}", seawall_error::code_name(status.code()), status.message())
}

/// One stream of questions and answers, one answer a question.
struct Conversation {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl Conversation {
    async fn begin(channel: &Channel, path: &'static str, headers: &[Header]) -> Result<Self, Status> {
        let (questions, receiver) = mpsc::channel(1);
        let mut request = Request::new(ReceiverStream::new(receiver));
        header::add(request.metadata_mut(), headers.iter().chain([&UNRECORDED]))?;
        let mut client = Grpc::new(channel.clone()).max_decoding_message_size(super::MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        // The first question goes first: there are servers that answer no headers before it.
        let begun = questions.send(question(MessageRequest::ListServices("*".to_owned()))).await;
        begun.map_err(|_| Status::unavailable("the connection is gone"))?;
        let codec = ProstCodec::<ServerReflectionRequest, _>::default();
        let answers = client.streaming(request, PathAndQuery::from_static(path), codec).await?.into_inner();
        Ok(Self { questions, answers })
    }

    /// Every service with every file that it needs.
    async fn contracts(&mut self) -> Result<Contracts> {
        let listed = match self.answer().await {
            Ok(MessageResponse::ListServicesResponse(listed)) => listed,
            Ok(_) => bail!("it does not list its services"),
            // As it is, because it may say that there is no such service.
            Err(Refused::Stream(status)) => return Err(status.into()),
            Err(refused) => return Err(refused.into()),
        };
        let (mut names, mut files) = (BTreeSet::new(), BTreeMap::new());
        for name in listed.service.into_iter().map(|service| service.name) {
            match self.ask(MessageRequest::FileContainingSymbol(name.clone()), &mut files).await {
                Ok(()) => drop(names.insert(name)),
                // Many a server lists reflection itself without its contract.
                Err(Refused::Answer(_)) if name.starts_with("grpc.reflection.") => {}
                Err(error) => return Err(anyhow::Error::from(error).context(format!("it does not tell {name}"))),
            }
        }
        // Servers may send a file without those that it imports.
        while let Some(missing) = missing(&files) {
            let before = files.len();
            self.ask(MessageRequest::FileByFilename(missing.clone()), &mut files).await?;
            if files.len() == before || files.len() > FILES_MAX {
                bail!("it has no file {missing}, which others import");
            }
        }
        Contracts::try_new(files.into_values().collect(), names)
    }

    async fn ask(
        &mut self,
        what: MessageRequest,
        files: &mut BTreeMap<String, FileDescriptorProto>,
    ) -> Result<(), Refused> {
        let sent = self.questions.send(question(what)).await;
        sent.map_err(|_| Status::unavailable("the connection is gone"))?;
        let MessageResponse::FileDescriptorResponse(sent) = self.answer().await? else {
            return Err(Refused::Answer("it answers another question".to_owned()));
        };
        for file in sent.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice());
            let file = file.map_err(|error| Refused::Answer(format!("a file of it is not understood: {error}")))?;
            files.insert(file.name().to_owned(), file);
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<MessageResponse, Refused> {
        let answer = self.answers.message().await?.and_then(|answer| answer.message_response);
        match answer {
            Some(MessageResponse::ErrorResponse(error)) => Err(Refused::Answer(error.error_message)),
            Some(response) => Ok(response),
            None => Err(Refused::Answer("it ends without an answer".to_owned())),
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// The stream has ended.
    #[error(transparent)]
    Stream(#[from] Status),
    /// The server says so, or says what is of no use.
    #[error("{0}")]
    Answer(String),
}

fn question(what: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(what) }
}

/// A file that is imported and not there.
fn missing(files: &BTreeMap<String, FileDescriptorProto>) -> Option<String> {
    let mut imported = files.values().flat_map(|file| &file.dependency);
    imported.find(|name| !files.contains_key(*name)).cloned()
}
