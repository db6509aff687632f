//! A process that drains, seen from outside.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use seawall_testkit::Service;
use tempfile::TempDir;

/// One that is taken and never served would keep its caller waiting until the process has ended, where another
/// process could have answered.
#[test]
fn who_comes_while_a_process_drains_is_refused() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("user.db").display());
    // Longer than the test takes, which ends it.
    let settings = [("SEAWALL_SQL_URL", url.as_str()), ("SEAWALL_SERVER_DRAIN_TIMEOUT", "10min")];
    let user = Service::start("user", settings);
    // Keeps it from ending, because it answers nothing. That it was accepted is known by the first frame.
    let mut silent = TcpStream::connect(user.address()).unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    silent.read_exact(&mut [0; 9]).unwrap();
    user.drain();
    let has_said = |what: &str| user.log().iter().any(|line| line.contains(what));
    while !has_said("shutting down") {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let refused = (0..1_000).find_map(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        TcpStream::connect(user.address()).err()
    });
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    assert!(!has_said("drained"), "there was nobody left to refuse");
}
