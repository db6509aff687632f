//! The settings.

mod policies;

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderName, Uri};
use seawall_auth::tls::{self, SpiffeId};
use seawall_balance::{OutlierConfig, Subset};
use seawall_config::{Section, Setting};
use seawall_retry::AllowanceConfig;

use crate::connect::{Connect, Tcp};
use crate::secure::Tls;

/// How a peer is reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is: one or more, such as `127.0.0.1:50051`. The host of a single one may be a name
    /// with several addresses, each an endpoint.
    pub addresses: Addresses,
    /// How often a name is looked up again.
    pub resolve_interval: Duration,
    /// The header whose value decides on the endpoint, so that calls with the same value go to the
    /// same one; `None` lets the load decide.
    pub hash_header: Option<HeaderName>,
    /// Whether endpoints are asked for their health, and left alone while they are not serving.
    pub health_watch: bool,
    /// Which part of the endpoints this process uses, so that neither has too many connections where
    /// both are many; `None` for all.
    pub subset: Option<Subset>,
    /// When endpoints that fail are left alone, and for how long.
    pub outlier: OutlierConfig,
    /// What all methods may retry and hedge together.
    pub allowance: AllowanceConfig,
    /// A message of an answer, in bytes; a larger one is `RESOURCE_EXHAUSTED`. Generated clients have a
    /// limit of their own, of 4 MiB and with another code: more than that needs their
    /// `max_decoding_message_size` as well.
    pub message_bytes_max: usize,
    /// The deadline of a call that neither the caller, nor the call being served, nor the method's
    /// contract gives one.
    pub timeout: Duration,
    /// How much less than what is left the peer is told, so that its answer arrives in time.
    pub deadline_margin: Duration,
    /// Whether calls wait for a connection until their deadline where no endpoint can be reached, rather than
    /// fail at once; those that say so themselves ([`WaitForReady`](crate::WaitForReady)) do as they say.
    pub wait_for_ready: bool,
    /// How many connections an endpoint may have where it takes no more calls on one: at least 1.
    pub connections_max: usize,
    /// How long connecting may take, up to the peer's first word.
    pub connect_timeout: Duration,
    /// How often a connection with calls on it is probed.
    pub keepalive_interval: Duration,
    /// How long the answer to a probe may take.
    pub keepalive_timeout: Duration,
    /// How connections are secured; `None` where the addresses begin with `http://`.
    pub tls: Option<Tls>,
    /// The network. TCP unless it is replaced in code.
    pub connector: Arc<dyn Connect>,
}

/// The addresses of a peer: at least one, each with its port, and all with TLS or all without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    all: Vec<Authority>,
    is_tls: bool,
}

impl Addresses {
    /// All of them.
    pub fn as_slice(&self) -> &[Authority] {
        &self.all
    }

    /// Whether they begin with `https://`.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The first, by which the peer is called.
    pub fn first(&self) -> &Authority {
        &self.all[0]
    }
}

impl Setting for Addresses {
    const KIND: &'static str =
        "a URL such as http://127.0.0.1:50051 or https://user:443, or several alike with commas between them";
    fn parse(text: &str) -> Option<Self> {
        let addresses: Option<Vec<_>> = text.split(',').map(|part| address(part.trim())).collect();
        let (schemes, all): (Vec<Scheme>, Vec<Authority>) = addresses?.into_iter().unzip();
        let is_tls = *schemes.first()? == Scheme::HTTPS;
        // Calls would be secret or not by the load alone.
        schemes.windows(2).all(|pair| pair[0] == pair[1]).then_some(Self { all, is_tls })
    }
}

fn address(text: &str) -> Option<(Scheme, Authority)> {
    let uri = text.parse::<Uri>().ok()?.into_parts();
    if uri.path_and_query.is_some_and(|path| path != "/") {
        return None;
    }
    let (scheme, authority) = (uri.scheme?, uri.authority?);
    // A name and a password are no part of a call, and would be shown wherever the address is.
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = match authority.port_u16() {
        // Nobody listens there.
        Some(0) => return None,
        Some(_) => authority,
        // That of the scheme, where none is named.
        None => format!("{authority}:{port}").parse().ok()?,
    };
    Some((scheme, authority))
}

/// A header as a setting; empty is none.
struct Header(Option<HeaderName>);

impl Setting for Header {
    const KIND: &'static str = "the name of a header, such as user-id, or empty";
    fn parse(text: &str) -> Option<Self> {
        let name = text.trim();
        if name.is_empty() {
            return Some(Self(None));
        }
        name.parse().ok().map(|name| Self(Some(name)))
    }
}

/// The settings of the subset.
fn subset(section: &mut Section<'_>) -> Option<Subset> {
    let size: usize = section.get(
        "subset_size",
        "0",
        "how many of the endpoints this process uses, where they are hundreds; 0 for all",
    );
    let client_id = section.get(
        "subset_client",
        "0",
        "which of the processes that call the service this is, from 0 without gaps: each has its own subset",
    );
    (size > 0).then_some(Subset { client_id, size })
}

/// The settings of TLS, where the addresses ask for it.
fn secured(section: &mut Section<'_>, addresses: &Addresses) -> Option<Tls> {
    let identity: Option<SpiffeId> = section.get(
        "identity",
        "",
        "who the service must be, such as spiffe://shop/user; empty: its certificate must have the name in its address",
    );
    let files = tls::Config::read(&mut section.beside("tls"));
    if !addresses.is_tls() {
        if identity.is_some() {
            section.refuse("address", "an https:// URL where an identity is set, since only TLS proves one");
        }
        section.development_only("address", "an https:// URL, since calls are else read and changed on their way");
        return None;
    }
    let files = files.filter(|files| files.ca.is_some());
    if files.is_none() {
        section.beside("tls").refuse("ca", "set where the address of a peer begins with https://");
    }
    Some(Tls { files: files?, identity })
}

impl Config {
    /// Reads the section, which by convention has the name of the peer.
    pub fn read(section: &mut Section<'_>, default_address: &'static str) -> Self {
        let positive = |timeout: &Duration| !timeout.is_zero();
        let mut timeout = |key, default, help| section.checked(key, default, help, "more than 0s", positive);
        let (call, connect) = (
            timeout("timeout", "5s", "the deadline of a call that nothing else gives one, not even its contract"),
            timeout("connect_timeout", "2s", "how long connecting may take"),
        );
        let (interval, answer) = (
            timeout("keepalive_interval", "30s", "how often a connection with calls on it is probed"),
            timeout("keepalive_timeout", "10s", "how long the answer to a probe may take"),
        );
        let addresses = section.get(
            "address",
            default_address,
            "where the service is: a URL whose host may have several addresses, or several URLs with commas",
        );
        let tls = secured(section, &addresses);
        Self {
            addresses,
            resolve_interval: section.checked(
                "resolve_interval",
                "30s",
                "how often a name is looked up again",
                "at least 1s",
                |interval| *interval >= Duration::from_secs(1),
            ),
            hash_header: section
                .get::<Header>(
                    "hash_header",
                    "",
                    "the header whose value decides on the endpoint; empty: the load does",
                )
                .0,
            health_watch: section.get("health_watch", "false", "whether endpoints are asked if they are serving"),
            subset: subset(section),
            outlier: policies::outlier(section),
            allowance: policies::allowance(section),
            message_bytes_max: section.checked(
                "message_bytes_max",
                "4194304",
                "a message of an answer, in bytes; for more than 4 MiB the client needs to allow it too",
                "1024 to 2147483647",
                |max| (1_024..=2_147_483_647).contains(max),
            ),
            timeout: call,
            deadline_margin: section.get(
                "deadline_margin",
                "5ms",
                "how much less than what is left the peer is told, so that its answer arrives in time",
            ),
            wait_for_ready: section.get(
                "wait_for_ready",
                "false",
                "whether calls wait for a connection until their deadline, rather than fail while there is none",
            ),
            connections_max: section.checked(
                "connections_max",
                "4",
                "connections to an endpoint, where it takes no more calls on one",
                "1 to 64",
                |max| (1..=64).contains(max),
            ),
            connect_timeout: connect,
            keepalive_interval: interval,
            keepalive_timeout: answer,
            tls,
            connector: Arc::new(Tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_config::Reader;

    use super::*;

    #[test]
    fn plaintext_is_for_development() {
        let read = |address| {
            let variables = [("SEAWALL_USER_ADDRESS", address), ("SEAWALL_TLS_CA", "/ca.pem")];
            let mut reader = Reader::new("", "", variables).for_production();
            Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
            reader.finish().map_err(|mistakes| mistakes.to_string())
        };
        let said = read("http://user:1").unwrap_err();
        assert!(said.contains("user.address (SEAWALL_USER_ADDRESS): must be an https:// URL"), "{said}");
        assert_eq!(read("https://user:1"), Ok(()));
    }

    #[test]
    fn an_address_is_a_url_with_a_port_or_several() {
        let read = |text: &str| Addresses::parse(text).map(|addresses| addresses.as_slice().len());
        assert_eq!(read("http://127.0.0.1:50051"), Some(1));
        assert_eq!(read("http://user.shop.svc:50051/"), Some(1));
        assert_eq!(address("http://user").unwrap().1, "user:80");
        assert_eq!(address("https://user").unwrap().1, "user:443");
        assert!(Addresses::parse("https://a:1,https://b:2").unwrap().is_tls());
        assert_eq!(read("http://10.0.0.1:1, http://[::1]:2"), Some(2));
        let bad =
            ["", ",", "user:50051", "ftp://user:1", "http://user:0", "http://user:1/path", "http://a:1,,http://b:2"];
        let mixed = ["http://a:1,https://b:2", "https://a:1,http://b:2"];
        for bad in bad.into_iter().chain(mixed).chain(["http://:80", "http://me:secret@user:1"]) {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn tls_needs_an_authority_and_an_identity_needs_tls() {
        let read = |variables: &[(&'static str, &'static str)]| {
            let mut reader = seawall_config::Reader::new("", "", variables.iter().copied());
            let config = Config::read(&mut reader.section("user"), "http://127.0.0.1:1");
            reader.finish().map(|()| config.tls.map(|tls| tls.identity)).map_err(|mistakes| mistakes.to_string())
        };
        let (address, ca) = (("SEAWALL_USER_ADDRESS", "https://user:1"), ("SEAWALL_TLS_CA", "/ca"));
        let identity = ("SEAWALL_USER_IDENTITY", "spiffe://shop/user");
        assert_eq!(read(&[ca]), Ok(None), "TLS is asked for by the address");
        assert_eq!(read(&[ca, address]), Ok(Some(None)));
        assert_eq!(read(&[ca, address, identity]), Ok(Some("spiffe://shop/user".parse().ok())));
        assert!(read(&[address]).unwrap_err().contains("tls.ca (SEAWALL_TLS_CA): must be set where the address"));
        assert!(read(&[identity]).unwrap_err().contains("user.address (SEAWALL_USER_ADDRESS): must be an https://"));
        let said = read(&[ca, address, ("SEAWALL_USER_IDENTITY", "user")]).unwrap_err();
        assert!(said.contains("user.identity = \"user\" (from SEAWALL_USER_IDENTITY): must be a SPIFFE ID"), "{said}");
    }

    #[test]
    fn a_subset_is_used_if_it_has_a_size() {
        let read = |variables: &[(&'static str, &'static str)]| {
            let mut reader = seawall_config::Reader::new("", "", variables.iter().copied());
            Config::read(&mut reader.section("user"), "http://127.0.0.1:1").subset
        };
        assert_eq!(read(&[("SEAWALL_USER_SUBSET_CLIENT", "3")]), None);
        let set = [("SEAWALL_USER_SUBSET_SIZE", "20"), ("SEAWALL_USER_SUBSET_CLIENT", "3")];
        assert_eq!(read(&set), Some(Subset { client_id: 3, size: 20 }));
    }
}
