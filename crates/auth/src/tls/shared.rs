//! The files of a process as they are now, shared by all that use the same ones.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use opentelemetry::global;
use opentelemetry::metrics::Gauge;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Config;
use super::failure::Failures;
use super::files::{Files, TlsError};
use super::material::Material;

/// Reads the files of a process and says what is wrong with them, before anything is started. `serves` is
/// whether it has a server, which needs more of them. Blocks while it reads.
///
/// # Errors
/// If they cannot be used, with all that is wrong.
pub fn check(config: &Config, serves: bool) -> Result<(), TlsError> {
    let material = read(config)?;
    if serves { material.server.map(drop) } else { Ok(()) }
}

/// When the certificate of a process ends to be valid, if it has one; its files as [`check`] reads them. Blocks while
/// it reads.
///
/// # Errors
/// If they cannot be used, as when it has expired, with all that is wrong.
pub fn not_after(config: &Config) -> Result<Option<SystemTime>, TlsError> {
    read(config).map(|material| material.not_after)
}

fn read(config: &Config) -> Result<Material, TlsError> {
    Material::try_new(config, Files::read(config)?, SystemTime::now())
}

/// The files of a process. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    material: ArcSwap<Material>,
    failures: Failures,
    /// What looks at the files. Begun with the first handshake, which is where there is a runtime.
    watcher: Mutex<Option<AbortHandle>>,
}

impl Shared {
    /// The files of `config`, read if nobody uses them yet. Blocks while it reads.
    pub(super) fn of(config: &Config) -> Result<Self, TlsError> {
        // As many as there are different settings in use: one in a process.
        static SHARED: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|known| known.strong_count() > 0);
        if let Some(known) = shared.iter().filter_map(Weak::upgrade).find(|known| known.config == *config) {
            return Ok(Self(known));
        }
        let inner = Arc::new(Inner {
            config: config.clone(),
            material: ArcSwap::from_pointee(read(config)?),
            failures: Failures::default(),
            watcher: Mutex::new(None),
        });
        shared.push(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// What the files have now.
    pub(super) fn material(&self) -> Arc<Material> {
        self.0.material.load_full()
    }

    /// Where handshakes that fail are counted and told.
    pub(super) fn failures(&self) -> &Failures {
        &self.0.failures
    }

    /// Has the files looked at from now on, as long as somebody uses them. Needs a tokio runtime.
    pub(super) fn watch(&self) {
        let mut watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        // It has also ended where its runtime has.
        if watcher.as_ref().is_none_or(AbortHandle::is_finished) {
            *watcher = Some(tokio::spawn(watch(Arc::downgrade(&self.0))).abort_handle());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.get_mut().unwrap_or_else(PoisonError::into_inner) {
            watcher.abort();
        }
    }
}

/// Looks at the files until nobody uses them. A file that is being written may be read half; that is
/// refused as a whole, like a key that is not yet that of its certificate, and read again at the next look.
async fn watch(inner: Weak<Inner>) {
    let Some(every) = inner.upgrade().map(|inner| inner.config.reload_interval) else { return };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused: Option<Result<Files, TlsError>> = None;
    let mut has_expired = false;
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let config = inner.config.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || Files::read(&config)).await else { continue };
        let current = inner.material.load_full();
        if found.as_ref().is_ok_and(|files| *files == current.files) {
            if refused.take().is_some() {
                tracing::info!(file = inner.name(), "the files of TLS are again what is in use");
            }
            tell_expiry(&current, &mut has_expired);
        } else if refused.as_ref() != Some(&found) {
            refused = inner.replace(found, &current).err();
        }
    }
}

impl Inner {
    /// The file that the others are known by.
    fn name(&self) -> String {
        let file = self.config.cert.as_ref().or(self.config.ca.as_ref());
        file.map(|file| file.display().to_string()).unwrap_or_default()
    }

    /// Uses the files from now on, if they can be. What they are refused for is told.
    fn replace(&self, found: Result<Files, TlsError>, current: &Material) -> Result<(), Result<Files, TlsError>> {
        let made = match &found {
            Ok(files) => Material::try_new(&self.config, files.clone(), SystemTime::now()),
            Err(error) => Err(error.clone()),
        };
        // What could serve must go on to.
        let made = made.and_then(|made| match (&current.server, &made.server) {
            (Ok(_), Err(error)) => Err(error.clone()),
            _ => Ok(made),
        });
        match made {
            Ok(made) => {
                let identity = made.identity.as_ref().map(tracing::field::display);
                let not_after = made.not_after.map(|time| humantime::format_rfc3339_seconds(time).to_string());
                tracing::info!(
                    file = self.name(),
                    identity,
                    not_after,
                    "the files of TLS have changed: new connections use them"
                );
                self.material.store(Arc::new(made));
                Ok(())
            }
            Err(error) => {
                tracing::error!(file = self.name(), %error, "the files of TLS have changed and are refused: what was before stays");
                Err(found)
            }
        }
    }
}

/// Shows when the certificate ends to be valid, and says once that it has.
fn tell_expiry(material: &Material, has_expired: &mut bool) {
    static EXPIRY: OnceLock<Gauge<u64>> = OnceLock::new();
    let Some(not_after) = material.not_after else { return };
    let expiry = EXPIRY.get_or_init(|| {
        global::meter("seawall.auth")
            .u64_gauge("seawall.tls.certificate.expiry")
            .with_unit("s")
            .with_description("When the certificate of this process ends to be valid, in seconds since 1970.")
            .build()
    });
    expiry.record(not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(), &[]);
    let is_expired = SystemTime::now() > not_after;
    if is_expired && !*has_expired {
        tracing::error!("the certificate of this process has expired: no new connection will be trusted");
    }
    *has_expired = is_expired;
}
