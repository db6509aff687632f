//! The settings.

use std::path::PathBuf;
use std::time::Duration;

use seawall_config::{Section, Setting};

use super::clients::Clients;
use super::identity::SpiffeId;

/// The files that a process proves its identity and checks those of others with: one section, which its
/// server and its channels share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// Its certificate and those between that and the authority, as PEM. A server with one speaks TLS alone.
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM.
    pub key: Option<PathBuf>,
    /// The certificates of the authorities that are trusted, as PEM.
    pub ca: Option<PathBuf>,
    /// Who may call the server.
    pub clients: Clients,
    /// How often the files are looked at, and read again when they have changed.
    pub reload_interval: Duration,
}

impl Config {
    /// Reads the section, which by convention is `tls`. `None` if no file is set: no TLS.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let config = Self {
            cert: section.get(
                "cert",
                "",
                "the certificate of this process and those up to its authority, a PEM file; with it, the server speaks TLS alone",
            ),
            key: section.get("key", "", "the private key of the certificate, a PEM file"),
            ca: section.get("ca", "", "the certificates of the authorities that are trusted, a PEM file"),
            clients: section.get(
                "clients",
                "",
                "who may call: spiffe://shop/order, spiffe://shop/*, several with commas; empty: all of the trust \
                 domain of this process; anyone: also without a certificate",
            ),
            reload_interval: section.checked(
                "reload_interval",
                "10s",
                "how often the files are looked at; what has changed holds for new connections",
                "100ms to 1day",
                |every| (Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(every),
            ),
        };
        if config.cert.is_some() && config.key.is_none() {
            section.refuse("key", "set where tls.cert is");
        }
        if config.key.is_some() && config.cert.is_none() {
            section.refuse("cert", "set where tls.key is");
        }
        if config.cert.is_some() && config.ca.is_none() && config.clients != Clients::Anyone {
            section
                .refuse("ca", "set where tls.cert is, since it is what callers are checked by; or tls.clients anyone");
        }
        let is_used = config.cert.is_some() || config.key.is_some() || config.ca.is_some();
        is_used.then_some(config)
    }
}

impl Setting for Clients {
    const KIND: &'static str =
        "anyone, empty, or SPIFFE IDs with commas between them, such as spiffe://shop/order, spiffe://shop/*";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for SpiffeId {
    const KIND: &'static str = "a SPIFFE ID such as spiffe://shop/user";
    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use seawall_config::Reader;

    use super::*;

    fn read(variables: &[(&'static str, &'static str)]) -> Result<Option<Config>, String> {
        let mut reader = Reader::new("", "", variables.iter().copied());
        let config = Config::read(&mut reader.section("tls"));
        reader.finish().map(|()| config).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn without_files_there_is_no_tls() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("SEAWALL_TLS_CLIENTS", "anyone")]), Ok(None));
    }

    #[test]
    fn what_belongs_together_is_set_together() {
        let (cert, key) = (("SEAWALL_TLS_CERT", "/c"), ("SEAWALL_TLS_KEY", "/k"));
        let said = read(&[cert]).unwrap_err();
        assert!(said.contains("tls.key (SEAWALL_TLS_KEY)") && said.contains("tls.ca (SEAWALL_TLS_CA)"), "{said}");
        assert!(read(&[key]).unwrap_err().contains("tls.cert (SEAWALL_TLS_CERT): must be set where tls.key is"));
        assert!(read(&[cert, key]).unwrap_err().contains("tls.ca"));
        assert!(read(&[cert, key, ("SEAWALL_TLS_CLIENTS", "anyone")]).unwrap().is_some());
        assert!(read(&[("SEAWALL_TLS_CA", "/ca")]).unwrap().unwrap().cert.is_none(), "a client without a certificate");
    }

    #[test]
    fn who_may_call_is_told_by_ids() {
        let said = read(&[("SEAWALL_TLS_CA", "/ca"), ("SEAWALL_TLS_CLIENTS", "order")]).unwrap_err();
        assert!(said.contains("tls.clients = \"order\"") && said.contains("spiffe://shop/*"), "{said}");
    }
}
