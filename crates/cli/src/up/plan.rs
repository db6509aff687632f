//! What each service is started with, and what is known of it before.

use std::path::PathBuf;

use anyhow::Result;

use super::addresses::Addresses;
use super::backing::Backing;
use crate::environment::{self, Surroundings};
use crate::examples;
use crate::state::{Condition, Credentials, Phase, ServiceState, Snapshot, State};
use crate::supervisor::Plan;
use crate::tls::Tls;
use crate::workspace::{Service, Workspace};

/// The state before anything has been started.
pub(super) fn state(
    services: &[Service],
    addresses: &Addresses,
    sql_backend: &str,
    tls: Option<&Tls>,
) -> Result<State> {
    let here = std::env::current_dir()?;
    let flags = tls.map(|tls| tls.grpcurl_flags(&here)).transpose()?;
    let service = |Service { name, metadata, .. }: &Service| ServiceState {
        name: name.clone(),
        address: addresses.grpc[name].to_string(),
        metrics: addresses.metrics[name].to_string(),
        state: Condition::Starting,
        pid: None,
        backend: metadata.sql.then(|| sql_backend.to_owned()),
    };
    Ok(State {
        pid: std::process::id(),
        phase: Phase::Starting,
        snapshot: Snapshot {
            services: services.iter().map(service).collect(),
            otlp: Some(addresses.otlp.to_string()),
            tls: tls.map(credentials).transpose()?,
            ..Snapshot::default()
        },
        processes: Vec::new(),
        examples: examples::lines(services, &addresses.grpc, flags.as_deref()),
    })
}

fn credentials(tls: &Tls) -> Result<Credentials> {
    let developer = tls.of_developer()?;
    Ok(Credentials { ca: tls.ca(), cert: developer.cert, key: developer.key, identity: developer.id.to_string() })
}

/// What a service is started with.
pub(super) fn plan(
    service: &Service,
    workspace: &Workspace,
    addresses: &Addresses,
    backing: &Backing,
    tls: Option<&Tls>,
    program: PathBuf,
) -> Result<Plan> {
    let layout = workspace.layout();
    let name = &service.name;
    let around = Surroundings {
        listen: addresses.grpc[name],
        metrics_listen: addresses.metrics[name],
        addresses: &addresses.grpc,
        known: &workspace.services,
        otlp: Some(addresses.otlp),
        sql_url: Some(backing.sql_url(&layout, name)),
        redis_url: backing.redis_url(),
        tls: tls.map(|tls| tls.settings(service, &workspace.services)).transpose()?,
    };
    let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    Ok(Plan {
        name: name.clone(),
        program,
        address: addresses.grpc[name],
        environment: environment::changes(service, &around, inherited),
        tls: tls.map(|tls| tls.connector(name)).transpose()?,
        calls: service.metadata.calls.clone(),
        log: layout.log(name),
        old_log: layout.old_log(name),
    })
}
