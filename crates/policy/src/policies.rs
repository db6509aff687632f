//! The policies in force, which a file changes while the process runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::contract::{Contract, Location, MethodId};
use crate::file::File;
use crate::method_policy::MethodPolicy;
use crate::mistake::{Mistake, Mistakes};
use crate::snapshot::{self, Snapshot};
use crate::table::{Changed, OTHER, Table};

/// The most that is read of a file: a hundred bytes for each of ten thousand settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The policies of all methods of a contract. Clones are the same policies.
#[derive(Debug, Clone)]
pub struct Policies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    contract: Contract,
    file: Option<PathBuf>,
    table: ArcSwap<Table>,
    /// Held over a whole reload, so that two of them cannot pass each other.
    reloading: Mutex<()>,
    /// What is needed for rates that replicas share, where it is not there.
    unshared: OnceLock<&'static str>,
    generation: watch::Sender<u64>,
}

/// Those of no contract: the defaults, whatever is called.
impl Default for Policies {
    fn default() -> Self {
        Self::with_table(
            Contract::default(),
            None,
            Table::merge(&Contract::default(), &File::default(), &mut Mistakes::default()),
        )
    }
}

impl Policies {
    /// What the contract declares, with the file over it.
    ///
    /// # Errors
    /// If the file cannot be read, or if any setting in it or in the contract is wrong: with all
    /// that is.
    pub fn try_new(contract: Contract, file: Option<PathBuf>) -> Result<Self, Mistakes> {
        let text = read(file.as_deref())?;
        let table = make(&contract, file.as_deref(), &text)?;
        Ok(Self::with_table(contract, file, table))
    }

    fn with_table(contract: Contract, file: Option<PathBuf>, table: Table) -> Self {
        Self(Arc::new(Inner {
            contract,
            file,
            table: ArcSwap::from_pointee(table),
            reloading: Mutex::new(()),
            unshared: OnceLock::new(),
            generation: watch::Sender::new(0),
        }))
    }

    /// The contract.
    pub fn contract(&self) -> &Contract {
        &self.0.contract
    }

    /// The policy of a method as it is now. As long as it stays as it is, each call returns the same
    /// `Arc`.
    pub fn get(&self, id: MethodId) -> Arc<MethodPolicy> {
        self.with_id(id, Arc::clone)
    }

    /// The policy of the method with this path, `/package.Service/Method`.
    pub fn by_path(&self, path: &str) -> Arc<MethodPolicy> {
        self.get(self.0.contract.id_or_other(path))
    }

    /// What `f` makes of the policy of the method with this path, for those who keep nothing of it.
    pub fn with<T>(&self, path: &str, f: impl FnOnce(&MethodPolicy) -> T) -> T {
        self.with_id(self.0.contract.id_or_other(path), |policy| f(policy))
    }

    /// The same of a method by its number.
    pub(crate) fn with_id<T>(&self, id: MethodId, f: impl FnOnce(&Arc<MethodPolicy>) -> T) -> T {
        f(&self.0.table.load().row(id).policy)
    }

    /// Tells of changes: its value is how many there have been.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Refuses rates that replicas share, now and in every reload, because this process has nothing to share
    /// them by. `needs` says what it would have to have, such as `needs redis.url`.
    ///
    /// # Errors
    /// If there is such a rate: with all of them.
    pub fn refuse_shared_rates(&self, needs: &'static str) -> Result<(), Mistakes> {
        let _reloading = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.table.load().refuse_shared_rates(self.0.unshared.get_or_init(|| needs))
    }

    /// Reads the file again. It holds as a whole from then on, or not at all. Blocks while it reads.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new); the policies stay as they were.
    pub fn reload(&self) -> Result<Changed, Mistakes> {
        let text = read(self.0.file.as_deref())?;
        self.replace(&text)
    }

    /// The settings in force, each with where it comes from.
    pub fn snapshot(&self) -> Snapshot {
        let table = self.0.table.load();
        let named = self.0.contract.methods().map(|(id, method)| (method.name.to_string(), id));
        let rows = named.chain([(OTHER.to_owned(), self.0.contract.other())]);
        Snapshot {
            changes: *self.0.generation.borrow(),
            methods: rows.map(|(name, id)| (name, snapshot::of(&table.row(id).settings))).collect(),
        }
    }

    fn replace(&self, text: &str) -> Result<Changed, Mistakes> {
        let _reloading = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = make(&self.0.contract, self.0.file.as_deref(), text)?;
        self.0.unshared.get().map_or(Ok(()), |needs| table.refuse_shared_rates(needs))?;
        let before = self.0.table.load_full();
        let changed = table.changed_since(&before, &self.0.contract);
        // Also where nothing has changed but the lines, which are shown.
        table.keep_unchanged(&before);
        self.0.table.store(Arc::new(table));
        if !changed.is_empty() {
            self.0.generation.send_modify(|generation| *generation += 1);
        }
        Ok(changed)
    }

    /// Looks at the file at this interval and reloads it when what stands in it has changed. Each
    /// change is one line in the log: what has changed, or why the file is refused. Never ends where
    /// there is a file; drop it to stop, which leaves no reload half done.
    ///
    /// A file that is being written may be read half. That is refused, as a rule, and read again at
    /// the next look; to be sure, write to another file and rename it.
    pub async fn watch(self, every: Duration) {
        let Some(file) = self.0.file.clone() else { return };
        let name = file.display().to_string();
        let mut seen: Option<Result<String, Mistakes>> = None;
        let mut is_refused = false;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let path = file.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(Some(&path))).await else { continue };
            if seen.as_ref() == Some(&found) {
                continue;
            }
            match found.as_deref().map_err(Clone::clone).and_then(|text| self.replace(text)) {
                Ok(changed) if !changed.is_empty() => {
                    is_refused = false;
                    tracing::info!(file = name, %changed, "policies have changed");
                }
                Ok(_) if is_refused => {
                    is_refused = false;
                    tracing::info!(file = name, "the file of policies is good again, and changes nothing");
                }
                Ok(_) => {}
                Err(mistakes) => {
                    is_refused = true;
                    tracing::error!(file = name, %mistakes, "the file is refused, the policies stay as they are");
                }
            }
            seen = Some(found);
        }
    }
}

/// What stands in the file; nothing where there is none.
fn read(file: Option<&Path>) -> Result<String, Mistakes> {
    let Some(path) = file else { return Ok(String::new()) };
    let text = std::fs::metadata(path).and_then(|metadata| {
        if metadata.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        std::fs::read_to_string(path)
    });
    text.map_err(|error| {
        let mut mistakes = Mistakes::default();
        mistakes.add(Mistake::at(Location { file: path.display().to_string().into(), line: 0 }, error));
        mistakes
    })
}

fn make(contract: &Contract, file: Option<&Path>, text: &str) -> Result<Table, Mistakes> {
    let name = file.map(|file| file.display().to_string()).unwrap_or_default();
    let mut mistakes = Mistakes::default();
    let file = File::read(text, &name, contract, &mut mistakes);
    let table = Table::merge(contract, &file, &mut mistakes);
    mistakes.into_result().map(|()| table)
}
