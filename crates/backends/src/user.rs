//! The user that PostgreSQL runs as: it refuses to run as root.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use crate::StartError;

#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The user to change to, if we are root.
pub(crate) fn unprivileged() -> Result<Option<User>, StartError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let found = ["postgres", "nobody"].iter().find_map(|name| nix::unistd::User::from_name(name).ok().flatten());
    let user =
        found.ok_or_else(|| StartError::new("PostgreSQL does not run as root, and there is no user postgres"))?;
    Ok(Some(User { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

impl User {
    /// `folder` if the user can get there, else one of `/var/tmp` that always stands for it.
    pub(crate) fn reachable(self, folder: &Path) -> PathBuf {
        let is_reachable =
            folder.ancestors().skip(1).filter(|parent| parent.exists()).all(|parent| self.enters(parent));
        if is_reachable {
            return folder.to_owned();
        }
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let instead = PathBuf::from(format!("/var/tmp/seawall-postgres-{:016x}", hasher.finish()));
        tracing::warn!(
            folder = %folder.display(),
            instead = %instead.display(),
            "PostgreSQL does not run as root, and its user cannot reach the data folder: another one is used"
        );
        instead
    }

    pub(crate) fn own(self, path: &Path) -> Result<(), StartError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(|source| StartError::io("change the owner of", path, source))
    }

    fn enters(self, folder: &Path) -> bool {
        folder.metadata().is_ok_and(|about| {
            let bit = if about.uid() == self.uid {
                0o100
            } else if about.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            about.mode() & bit != 0
        })
    }
}
