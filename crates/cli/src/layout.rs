//! Where things lie in `.seawall/`, the folder of everything that a run leaves behind.

use std::io;
use std::path::{Path, PathBuf};

use crate::tls::Tls;
use crate::tools::Tools;

/// The folder, which is made by [`Layout::create`] and may be deleted at any time that nothing runs.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// The folder of the workspace at `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { folder: root.join(".seawall") }
    }

    /// Makes the folders that a run writes to.
    pub(crate) fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.data())?;
        std::fs::create_dir_all(self.logs())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The log of one service, or of a detached `up`.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// What the log was before it was last rotated.
    pub(crate) fn old_log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log.1"))
    }

    /// The spans that were received.
    pub(crate) fn traces(&self) -> PathBuf {
        self.folder.join("traces.db")
    }

    /// Programs that tests and checks need and that are not on the machine.
    pub(crate) fn tools(&self) -> Tools {
        Tools::new(self.folder.join("tools"))
    }

    /// The certificates of `up --tls`.
    pub(crate) fn tls(&self) -> Tls {
        Tls::new(self.folder.join("tls"))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join("up.lock")
    }
}
