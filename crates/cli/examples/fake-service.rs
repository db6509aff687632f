//! A service for the tests of the supervisor: it says SERVING and does nothing else.
//!
//! It is named by its file. `FAKE_FAIL=name` lets it fail at its start, `FAKE_SLOW=name` lets it
//! take a while to serve, `FAKE_STUBBORN=name` lets it
//! ignore SIGTERM, `FAKE_JOURNAL=file` lets it write there that it starts and ends,
//! `FAKE_ENVIRONMENT=file` what it was handed.

use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::TcpListenerStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let is_chosen = |variable: &str| std::env::var(variable).is_ok_and(|chosen| chosen == name);
    if is_chosen("FAKE_FAIL") {
        for line in 1..=25 {
            log(&name, &format!("line {line} of a service that fails"));
        }
        eprintln!("no storage");
        return Ok(ExitCode::from(3));
    }
    if is_chosen("FAKE_SLOW") {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let address: SocketAddr = std::env::var("SEAWALL_SERVER_LISTEN")?.parse()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    log(&name, &format!("serving on {address}"));
    let handed = std::env::vars().filter(|(variable, _)| variable.starts_with("SEAWALL_"));
    for (variable, value) in handed {
        append("FAKE_ENVIRONMENT", &format!("{name} {variable}={value}\n"))?;
    }
    append("FAKE_JOURNAL", &format!("{name} starts\n"))?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let stubborn = is_chosen("FAKE_STUBBORN");
    let ended = async {
        terminate.recv().await;
        log(&name, "asked to end");
        if stubborn {
            pending::<()>().await;
        }
    };
    tokio::select! {
        served = tonic::transport::Server::builder().add_service(health).serve_with_incoming(TcpListenerStream::new(listener)) => served?,
        () = ended => {}
    }
    append("FAKE_JOURNAL", &format!("{name} ends\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds a line to the file that a variable names.
fn append(variable: &str, line: &str) -> std::io::Result<()> {
    let Some(path) = std::env::var_os(variable) else { return Ok(()) };
    std::fs::File::options().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

fn log(name: &str, message: &str) {
    println!(
        r#"{{"timestamp":"2026-11-21T10:00:00.000000Z","level":"INFO","target":"fake","message":"{message}","service":"{name}"}}"#
    );
}
