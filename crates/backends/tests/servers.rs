//! Each kind of server is started from this machine's programs, used, stopped, and started again.

use std::path::Path;
use std::time::Duration;

use seawall_backends::{Jaeger, JaegerPorts, NotFound, Options, Postgres, Redis, free_port};
use tokio_postgres::NoTls;

/// What is not installed is skipped aloud; PostgreSQL only when that is wanted.
fn installed<T>(found: Result<T, NotFound>, skip: bool) -> Option<T> {
    match found {
        Ok(program) => Some(program),
        Err(missing) if skip => {
            eprintln!("skipped: {missing}");
            None
        }
        Err(missing) => panic!("{missing} (or set TEST_SKIP_POSTGRES=1)"),
    }
}

fn is_alive(pid: u32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), None).is_ok()
}

async fn ends(pid: u32) -> bool {
    for _ in 0..200 {
        if !is_alive(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_restart_and_ends_when_told() {
    let Some(postgres) = installed(Postgres::find(), std::env::var_os("TEST_SKIP_POSTGRES").is_some()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log/postgres.log"));
    let mut data_folders = Vec::new();
    for round in 1..=2_i64 {
        let server = postgres.start(&data, free_port().unwrap(), &log, Options::default()).await.unwrap();
        data_folders.push(server.data_folder().to_owned());
        server.create_database("shop").await.unwrap();
        let (client, connection) = tokio_postgres::connect(&server.url("shop"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE IF NOT EXISTS t (n BIGINT); INSERT INTO t VALUES (1)").await.unwrap();
        let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
        assert_eq!(count, round);
        let fsync: String = client.query_one("SHOW fsync", &[]).await.unwrap().get(0);
        assert_eq!(fsync, "on", "what `up` keeps must be durable");
        let pid = server.pid();
        assert!(is_alive(pid));
        server.stop().await;
        assert!(!is_alive(pid), "stop waits for the end");
    }
    assert_eq!(data_folders[0], data_folders[1]);
    if !data_folders[0].starts_with(folder.path()) {
        std::fs::remove_dir_all(&data_folders[0]).unwrap();
    }
}

#[tokio::test]
async fn a_dropped_server_ends_and_removes_what_it_was_told_to() {
    let Some(postgres) = installed(Postgres::find(), std::env::var_os("TEST_SKIP_POSTGRES").is_some()) else { return };
    let data = tempfile::Builder::new().prefix("seawall-").tempdir_in("/var/tmp").unwrap().keep();
    open(&data);
    let log = tempfile::NamedTempFile::new().unwrap();
    let options = Options { not_durable: true, remove_at_end: Some(data.clone()), ..Options::default() };
    let server = postgres.start(&data, free_port().unwrap(), log.path(), options).await.unwrap();
    let pid = server.pid();
    drop(server);
    assert!(ends(pid).await);
    for _ in 0..200 {
        if !data.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", data.display());
}

fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let Some(postgres) = installed(Postgres::find(), std::env::var_os("TEST_SKIP_POSTGRES").is_some()) else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    open(folder.path());
    let log = folder.path().join("postgres.log");
    let started =
        postgres.start(&folder.path().join("data"), taken.local_addr().unwrap().port(), &log, Options::default()).await;
    let text = started.unwrap_err().to_string();
    assert!(text.contains("PostgreSQL ended while it was starting"), "{text}");
    assert!(text.contains("could not bind IPv4 address"), "{text}");
}

#[tokio::test]
async fn a_prefix_becomes_the_server() {
    let Some(redis) = installed(Redis::find(), true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = Options { prefix: vec!["env".into(), "A=b".into()], ..Options::default() };
    let log = folder.path().join("redis.log");
    let server = redis.start(folder.path(), free_port().unwrap(), &log, options).await.unwrap();
    let pid = server.pid();
    server.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn redis_keeps_its_data_over_a_restart() {
    let Some(redis) = installed(Redis::find(), true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("redis.log");
    for round in ["1", "2"] {
        let port = free_port().unwrap();
        let server = redis.start(&folder.path().join("data"), port, &log, Options::default()).await.unwrap();
        assert_eq!(server.url(), format!("redis://127.0.0.1:{port}"));
        let answer = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"INCR round\r\n").unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        });
        assert_eq!(answer.await.unwrap(), format!(":{round}\r\n"));
        server.stop().await;
    }
}

#[tokio::test]
async fn jaeger_answers_on_the_ports_it_was_given() {
    let tools: Vec<_> = std::env::var_os("TEST_TOOLS").iter().map(Into::into).collect();
    let Some(jaeger) = installed(Jaeger::find(&tools), true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = || free_port().unwrap();
    let ports = JaegerPorts { otlp: port(), query: port(), query_grpc: port() };
    let server = jaeger.start(ports, &folder.path().join("jaeger.log"), Options::default()).await.unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", ports.otlp)).is_ok());
    let pid = server.pid();
    // `up` has five seconds to end everything.
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(2), server.stop()).await;
    assert!(stopped.is_ok(), "Jaeger takes its time");
    assert!(!is_alive(pid));
}
