//! Settings: a file, variables, and the values in them.

use seawall_client::Addresses;
use seawall_config::{Reader, Setting as _};

/// Every mistake is told, and none is more than that. What comes before the first NUL is the file, the
/// lines behind it are variables.
pub(crate) fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, variables) = text.split_once('\0').unwrap_or((&text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let mut reader = Reader::new(file, "shop.toml", variables);
    let _ = seawall_server::Config::read(&mut reader.section("server"), 50_051, 9_464);
    let _ = seawall_client::Config::read(&mut reader.section("user"), "http://127.0.0.1:50051");
    let _ = seawall_policy::Config::read(&mut reader.section("policy"));
    let _ = seawall_pool::Config::read(&mut reader.section("pool"), "sqlite:shop.db");
    let _ = seawall_telemetry::Config::read(&mut reader.section("telemetry"));
    if let Err(mistakes) = reader.finish() {
        assert!(!mistakes.to_string().is_empty());
    }
}

/// Where a peer is: what is taken can be written and is taken again, and has a port to dial.
pub(crate) fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some(addresses) = Addresses::parse(&text) else { return };
    let scheme = if addresses.is_tls() { "https" } else { "http" };
    let urls: Vec<String> = addresses.as_slice().iter().map(|authority| format!("{scheme}://{authority}")).collect();
    assert!(addresses.as_slice().iter().all(|authority| authority.port_u16().is_some_and(|port| port > 0)));
    assert!(addresses.as_slice().iter().all(|authority| !authority.host().is_empty()), "{addresses:?}");
    assert!(addresses.as_slice().iter().all(|authority| !authority.as_str().contains('@')), "{addresses:?}");
    assert_eq!(Addresses::parse(&urls.join(",")).as_ref(), Some(&addresses));
}
