//! A service for the tests of the supervisor: it says SERVING and does nothing else.
//!
//! It is named by its file. `FAKE_FAIL=name` lets it fail at its start, `FAKE_SLOW=name` lets it
//! take a while to serve, `FAKE_STUBBORN=name` lets it
//! ignore SIGTERM, `FAKE_JOURNAL=file` lets it write there that it starts and ends,
//! `FAKE_ENVIRONMENT=file` what it was handed. It speaks TLS where it is told to.

use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use seawall_auth::tls::{Acceptor, Config};
use seawall_config::Reader;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;

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
    let tls = Config::read(&mut Reader::from_environment(None).section("tls"));
    let acceptor = tls.map(|tls| Acceptor::try_new(&tls)).transpose()?;
    let listener = TcpListener::bind(address).await?;
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
    let routes = Routes::new(health).prepare();
    let served = async {
        while let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(serve(stream, peer, acceptor.clone(), routes.clone()));
        }
    };
    tokio::select! {
        () = served => {}
        () = ended => {}
    }
    append("FAKE_JOURNAL", &format!("{name} ends\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(stream: TcpStream, peer: SocketAddr, acceptor: Option<Acceptor>, routes: Routes) {
    match acceptor {
        None => drive(stream, routes).await,
        Some(acceptor) => {
            if let Ok((stream, _)) = acceptor.accept(stream, peer, Duration::from_secs(10)).await {
                drive(stream, routes).await;
            }
        }
    }
}

async fn drive(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, routes: Routes) {
    let connection = Builder::new(TokioExecutor::new());
    // Whoever asks for its health may leave as it likes.
    let _ = connection.serve_connection(TokioIo::new(io), TowerToHyperService::new(routes)).await;
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
