//! The clients that are compared.

use std::net::SocketAddr;

use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_policy::{Contract, Policies};
use seawall_proto::FILE_DESCRIPTOR_SET;
use tonic::transport::Endpoint;

/// What calls go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// Stock tonic, one connection to one server.
    Bare,
    /// Stock tonic's own balancer over all servers, and nothing else.
    Balanced,
    /// Seawall's channel over all servers with everything on.
    Ours,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Balanced, Self::Ours];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Balanced => "balanced",
            Self::Ours => "ours",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Bare => "bare tonic, one channel",
            Self::Balanced => "bare tonic, balance channel",
            Self::Ours => "Seawall, everything on",
        }
    }
}

/// Stock tonic to these servers; to the first alone unless they are balanced.
pub(crate) fn tonic_channel(servers: &[SocketAddr], is_balanced: bool) -> tonic::transport::Channel {
    let endpoint =
        |server: &SocketAddr| Endpoint::from_shared(format!("http://{server}")).expect("a URL").tcp_nodelay(true);
    if is_balanced {
        tonic::transport::Channel::balance_list(servers.iter().map(endpoint))
    } else {
        endpoint(&servers[0]).connect_lazy()
    }
}

/// The contract's budget is half a second, which valgrind may need for a call.
const POLICIES: &str = "[\"seawall.user.v1.UserService/GetUser\"]\nbudget = \"60s\"\n";

/// Ours, as a service makes it: by its settings, with the policies that the contract declares. `GetUser`
/// has a deadline, retries within a budget, and a breaker; endpoints are picked by load and ejected when
/// they fail.
pub(crate) fn seawall_channel(servers: &[SocketAddr]) -> Channel {
    let urls: Vec<String> = servers.iter().map(|server| format!("http://{server}")).collect();
    let mut reader = Reader::new("", "", [("SEAWALL_USER_ADDRESS", urls.join(","))]);
    let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
    reader.finish().expect("the settings are good");
    let contract = Contract::try_new(&[FILE_DESCRIPTOR_SET]).expect("the contract is good");
    let folder = tempfile::tempdir().expect("a folder for the policies");
    let file = folder.path().join("policies.toml");
    std::fs::write(&file, POLICIES).expect("the policies are written");
    let policies = Policies::try_new(contract, Some(file)).expect("the policies are good");
    Channel::new("user", &config, &policies)
}
