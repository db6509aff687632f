//! The authority of `up --tls`: it signs certificates for everybody, and again before they expire.
//!
//! Its key is nowhere but in the memory of `up`, so each `up` makes another authority, and nobody can sign
//! anything once it has ended. Keys of services lie in files that only you can read.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use seawall_auth::tls::LocalCa;
use seawall_config::ExposeSecret as _;

use crate::terminal;
use crate::tls::{Owned, Tls};
use crate::workspace::Service;

const NAME: &str = "Seawall, for development on this machine";
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long a certificate holds, and when it is replaced: with half of that left, so that a machine may
/// sleep over a night.
const CERTIFICATE_LIFETIME: Duration = DAY;
const RENEWAL_INTERVAL: Duration = Duration::from_secs(12 * 3_600);
/// The authority outlives whatever `up` will.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Clocks within this of ours are right.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);
/// When it is tried again to replace certificates after that has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The authority, and those who have its certificates.
#[derive(Debug)]
pub(super) struct Authority {
    ca: LocalCa,
    owners: Vec<Owned>,
    renew_at: SystemTime,
}

impl Authority {
    /// A new authority with certificates for these services and for you. What an earlier one has left is
    /// removed.
    pub(super) fn create(tls: &Tls, services: &[Service]) -> Result<Self> {
        let folder = tls.folder();
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        // Before there is anything in it.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("services"));
        made.with_context(|| format!("{} cannot be made", folder.display()))?;
        let now = SystemTime::now();
        let ca = LocalCa::try_new(NAME, &(now - CLOCK_SKEW_MAX..now + AUTHORITY_LIFETIME))?;
        let mut owners = vec![tls.of_developer()?];
        for service in services {
            owners.push(tls.of_service(&service.name)?);
        }
        let mut authority = Self { ca, owners, renew_at: now };
        write(&tls.ca(), &authority.ca.certificate())?;
        authority.issue(now)?;
        Ok(authority)
    }

    /// Replaces the certificates if it is time to. By the clock of the wall, which goes on while a machine
    /// sleeps.
    pub(super) fn renew(&mut self) {
        let now = SystemTime::now();
        if now < self.renew_at {
            return;
        }
        match self.issue(now) {
            Ok(()) => terminal::status("Renewed", "the certificates of all services"),
            Err(error) => {
                self.renew_at = now + RETRY_INTERVAL;
                terminal::warning("TLS", format!("certificates cannot be renewed: {error:#}"));
            }
        }
    }

    fn issue(&mut self, now: SystemTime) -> Result<()> {
        let valid = now - CLOCK_SKEW_MAX..now + CERTIFICATE_LIFETIME;
        for Owned { cert, key, id } in &self.owners {
            let issued = self.ca.issue(std::slice::from_ref(id), &valid)?;
            write(key, issued.key.expose_secret())?;
            write(cert, &issued.cert)?;
        }
        self.renew_at = now + RENEWAL_INTERVAL;
        Ok(())
    }
}

/// Replaces a file as a whole by one that only its owner can read.
fn write(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    let written = || -> std::io::Result<()> {
        // What is left of an attempt that was interrupted may have been made with other permissions.
        if next.exists() {
            std::fs::remove_file(&next)?;
        }
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&next, path)
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::workspace::Metadata;

    fn service(name: &str) -> Service {
        Service { name: name.into(), manifest: "".into(), metadata: Metadata::default() }
    }

    /// Every file below, with who can do what with it.
    fn files(folder: &Path) -> Vec<(String, u32)> {
        let mut all: Vec<_> = (std::fs::read_dir(folder).unwrap().flatten())
            .flat_map(|entry| {
                let (path, mode) = (entry.path(), entry.metadata().unwrap().permissions().mode() & 0o777);
                let name = entry.file_name().to_string_lossy().into_owned();
                let below = if path.is_dir() { files(&path) } else { Vec::new() };
                below.into_iter().chain([(name, mode)])
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn only_you_can_read_what_it_writes_and_its_own_key_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::new(folder.path().join("tls"));
        Authority::create(&tls, &[service("user")]).unwrap();
        let names = ["ca.pem", "developer.key", "developer.pem", "services", "user.key", "user.pem"];
        let expected = names.map(|name| (name.to_owned(), if name == "services" { 0o700 } else { 0o600 }));
        assert_eq!(files(tls.folder()), expected);
        assert_eq!(std::fs::metadata(tls.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn each_authority_is_another_one_and_leaves_nothing_of_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::new(folder.path().join("tls"));
        Authority::create(&tls, &[service("user"), service("gone")]).unwrap();
        let before = std::fs::read(tls.ca()).unwrap();
        Authority::create(&tls, &[service("user")]).unwrap();
        assert_ne!(std::fs::read(tls.ca()).unwrap(), before);
        assert!(!tls.of_service("gone").unwrap().cert.exists());
        tls.connector("user").unwrap();
    }

    #[test]
    fn certificates_are_renewed_in_time_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::new(folder.path().join("tls"));
        let mut authority = Authority::create(&tls, &[service("user")]).unwrap();
        let file = tls.of_service("user").unwrap().cert;
        let before = std::fs::read(&file).unwrap();
        authority.renew();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        authority.renew_at -= RENEWAL_INTERVAL;
        authority.renew();
        assert_ne!(std::fs::read(&file).unwrap(), before);
        tls.connector("user").unwrap();
    }
}
