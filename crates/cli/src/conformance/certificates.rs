//! The files of a server that speaks TLS, signed by an authority that ends with us.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use seawall_auth::tls::LocalCa;
use seawall_config::ExposeSecret as _;

const NAME: &str = "Seawall, for one run of its conformance tests";
const IDENTITY: &str = "spiffe://seawall.local/interop";
/// A run takes minutes, and clocks differ by less.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// Where the files are.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes them anew. They are for this machine, by the name `localhost` and by its addresses.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let now = SystemTime::now();
        let valid = now - LIFETIME..now + LIFETIME;
        let ca = LocalCa::try_new(NAME, &valid)?;
        let issued = ca.issue(&[IDENTITY.parse()?], &valid)?;
        let of = |name: &str| folder.join(name);
        let files = Self { ca: of("ca.pem"), cert: of("cert.pem"), key: of("key.pem") };
        write(&files.ca, &ca.certificate())?;
        write(&files.cert, &issued.cert)?;
        write(&files.key, issued.key.expose_secret())?;
        Ok(files)
    }

    /// As interop clients are told.
    pub(super) fn client_flags(&self) -> [String; 2] {
        ["--use_tls=true".to_owned(), format!("--ca_file={}", self.ca.display())]
    }

    /// As interop servers are told.
    pub(super) fn server_flags(&self) -> [String; 3] {
        let (cert, key) = (self.cert.display(), self.key.display());
        ["--use_tls=true".to_owned(), format!("--tls_cert_file={cert}"), format!("--tls_key_file={key}")]
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
