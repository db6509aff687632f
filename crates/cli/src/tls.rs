//! What `up --tls` hands out: where the certificates lie, whose they are, and who may call whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use seawall_auth::tls::{Clients, Config, Connector, SpiffeId};

use crate::workspace::Service;

const TRUST_DOMAIN: &str = "seawall.local";
/// Whoever calls by hand, and `up` when it asks for health. Not what a service can be called.
const DEVELOPER: &str = "people/developer";
/// How often `up` itself looks for new certificates.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// The folder of the certificates.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    folder: PathBuf,
}

impl Tls {
    /// Files in this folder, there or not.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The authority that everybody trusts.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Those of a service: its certificate, its key, its identity.
    pub(crate) fn of_service(&self, name: &str) -> Result<Owned> {
        Owned::new(self.folder.join("services").join(name), name)
    }

    /// Those of whoever calls by hand.
    pub(crate) fn of_developer(&self) -> Result<Owned> {
        Owned::new(self.folder.join("developer"), DEVELOPER)
    }

    /// What a service is told, by the names of variables without their beginning: its own files, who may
    /// call it, and who those are that it calls.
    pub(crate) fn settings(&self, service: &Service, known: &[Service]) -> Result<Vec<(String, String)>> {
        let own = self.of_service(&service.name)?;
        let callers = known.iter().filter(|other| other.metadata.calls.contains(&service.name));
        let callers: Result<Vec<String>> =
            callers.map(|caller| Ok(self.of_service(&caller.name)?.id.to_string())).collect();
        let mut clients = callers?;
        clients.push(self.of_developer()?.id.to_string());
        let mut settings = vec![
            ("TLS_CA".to_owned(), self.ca().display().to_string()),
            ("TLS_CERT".to_owned(), own.cert.display().to_string()),
            ("TLS_KEY".to_owned(), own.key.display().to_string()),
            ("TLS_CLIENTS".to_owned(), clients.join(",")),
        ];
        for callee in &service.metadata.calls {
            let variable = format!("{}_IDENTITY", callee.to_uppercase().replace('-', "_"));
            settings.push((variable, self.of_service(callee)?.id.to_string()));
        }
        Ok(settings)
    }

    /// How `up` calls a service.
    pub(crate) fn connector(&self, service: &str) -> Result<Connector> {
        let Owned { cert, key, .. } = self.of_developer()?;
        let config = Config {
            cert: Some(cert),
            key: Some(key),
            ca: Some(self.ca()),
            clients: Clients::default(),
            reload_interval: RELOAD_INTERVAL,
        };
        Ok(Connector::try_new(&config, Some(self.of_service(service)?.id))?)
    }

    /// What takes the place of `-plaintext` in a call by grpcurl from the folder `from`.
    pub(crate) fn grpcurl_flags(&self, from: &Path) -> Result<String> {
        let developer = self.of_developer()?;
        let shown = |path: &Path| quoted(&path.strip_prefix(from).unwrap_or(path).display().to_string());
        let (ca, cert, key) = (shown(&self.ca()), shown(&developer.cert), shown(&developer.key));
        Ok(format!("-cacert {ca} -cert {cert} -key {key}"))
    }
}

/// The files of one identity.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) id: SpiffeId,
}

impl Owned {
    fn new(file: PathBuf, name: &str) -> Result<Self> {
        let id = format!("spiffe://{TRUST_DOMAIN}/{name}").parse()?;
        Ok(Self { cert: file.with_extension("pem"), key: file.with_extension("key"), id })
    }
}

/// A path as a shell takes it for one word.
fn quoted(path: &str) -> String {
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Metadata;

    #[test]
    fn a_service_is_called_by_those_who_say_so_and_knows_whom_it_calls() {
        let order = Metadata { calls: vec!["user".into()], ..Metadata::default() };
        let services = [("user", Metadata::default()), ("order", order), ("billing", Metadata::default())];
        let known = services.map(|(name, metadata)| Service { name: name.into(), manifest: "".into(), metadata });
        let tls = Tls::new("/shop/.seawall/tls".into());
        let of = |service: usize, setting: &str| {
            let settings = tls.settings(&known[service], &known).unwrap();
            settings.into_iter().find(|(name, _)| name == setting).map(|(_, value)| value)
        };
        let developer = "spiffe://seawall.local/people/developer";
        assert_eq!(of(0, "TLS_CLIENTS").unwrap(), format!("spiffe://seawall.local/order,{developer}"));
        assert_eq!(of(1, "TLS_CLIENTS").unwrap(), developer);
        assert_eq!(of(1, "USER_IDENTITY").unwrap(), "spiffe://seawall.local/user");
        assert_eq!(of(1, "TLS_KEY").unwrap(), "/shop/.seawall/tls/services/order.key");
        assert_eq!(of(0, "ORDER_IDENTITY"), None);
    }

    #[test]
    fn files_are_shown_as_a_shell_takes_them() {
        let tls = Tls::new("/my shop/.seawall/tls".into());
        let here = tls.grpcurl_flags("/my shop".as_ref()).unwrap();
        assert_eq!(
            here,
            "-cacert .seawall/tls/ca.pem -cert .seawall/tls/developer.pem -key .seawall/tls/developer.key"
        );
        assert!(tls.grpcurl_flags("/".as_ref()).unwrap().starts_with("-cacert 'my shop/.seawall/tls/ca.pem' -cert"));
    }
}
