//! The settings of the policies themselves: which file, how often it is looked at.

use std::path::PathBuf;
use std::time::Duration;

use seawall_config::Section;

/// Where policies are overridden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file; `None` where the contracts alone count.
    pub file: Option<PathBuf>,
    /// How often the file is looked at.
    pub reload_interval: Duration,
}

impl Config {
    /// Reads the section; mistakes stay with its reader. The file itself is read by
    /// [`Policies::try_new`](crate::Policies::try_new).
    pub fn read(section: &mut Section<'_>) -> Self {
        let bounds = Duration::from_millis(100)..=Duration::from_secs(3_600);
        Self {
            file: section.get("file", "", "a file that overrides the policies of the contracts"),
            reload_interval: section.checked(
                "reload_interval",
                "5s",
                "how often the file of policies is looked at for changes",
                "100ms to 1h",
                |interval| bounds.contains(interval),
            ),
        }
    }
}
