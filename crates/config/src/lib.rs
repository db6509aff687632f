//! Settings from a TOML file and the environment, with every mistake reported at once.
//!
//! A crate that uses a value owns its config: it reads its own keys from a [`Section`], each with a
//! default, a check and a line of help. Reading never stops at a mistake. [`Reader::finish`] then
//! returns all of them together (key, value, where it came from, what is allowed), and among them
//! every key and every `SEAWALL_*` variable that nobody asked for.
//!
//! A key `pool.size_max` is read from the variable `SEAWALL_POOL_SIZE_MAX`, else from the file, else
//! it has its default.
//!
//! ```
//! use std::time::Duration;
//! use seawall_config::{Reader, Section};
//!
//! struct Config { drain_timeout: Duration, workers: u32 }
//!
//! fn read(section: &mut Section<'_>) -> Config {
//!     Config {
//!         drain_timeout: section.get("drain_timeout", "10s", "how long calls in flight may take to end"),
//!         workers: section
//!             .checked("workers", "4", "how many workers", "1 to 64", |n| (1..=64).contains(n)),
//!     }
//! }
//!
//! let mut reader = Reader::new("[server]\ndrain_timeout = '3s'", "shop.toml", [("SEAWALL_SERVER_WORKERS", "99")]);
//! let config = read(&mut reader.section("server"));
//! assert_eq!(config.drain_timeout, Duration::from_secs(3));
//! let mistakes = reader.finish().unwrap_err().to_string();
//! assert!(mistakes.contains("server.workers = \"99\" (from SEAWALL_SERVER_WORKERS): must be 1 to 64"));
//! ```
//!
//! # Structure
//! `lib.rs` is the reader; `setting.rs` the kinds of values; `mistake.rs` what can be wrong.

mod mistake;
mod setting;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use mistake::{Mistake, Mistakes};
pub use secrecy::{ExposeSecret, SecretString};
pub use setting::Setting;

const PREFIX: &str = "SEAWALL_";

/// The variable that names the settings file where the command line does not.
pub const FILE_VARIABLE: &str = "SEAWALL_CONFIG";

/// Values as they were found, and what has been made of them so far.
#[derive(Debug)]
pub struct Reader {
    file: BTreeMap<String, String>,
    file_name: String,
    variables: BTreeMap<String, String>,
    documented: Vec<Documented>,
    mistakes: Vec<Mistake>,
    is_for_production: bool,
}

/// A key as `--help` shows it.
#[derive(Debug, Clone)]
pub struct Documented {
    /// Such as `pool.size_max`.
    pub key: String,
    /// Such as `SEAWALL_POOL_SIZE_MAX`.
    pub variable: String,
    /// As it would be written; empty when the key is off or required.
    pub default: String,
    /// What the value does.
    pub help: &'static str,
}

impl Reader {
    /// Reads from the text of a TOML file and from variables. `file_name` is only for messages.
    pub fn new<K: Into<String>, V: Into<String>>(
        toml: &str,
        file_name: &str,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut reader = Self {
            file: BTreeMap::new(),
            file_name: file_name.to_owned(),
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .filter(|(name, _)| name.starts_with(PREFIX) && name != FILE_VARIABLE)
                .collect(),
            documented: Vec::new(),
            mistakes: Vec::new(),
            is_for_production: false,
        };
        match toml.parse::<toml::Table>() {
            Ok(table) => reader.flatten("", table),
            Err(source) => reader.mistakes.push(Mistake::toml(file_name, toml, &source)),
        }
        reader
    }

    /// Reads from a file, if one is given, and from the process's environment. A file that cannot
    /// be read is one of the mistakes.
    pub fn from_environment(file: Option<&Path>) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let Some(path) = file else { return Self::new("", "", variables) };
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::new(&text, &name, variables),
            Err(source) => {
                let mut reader = Self::new("", &name, variables);
                reader.mistakes.push(Mistake::file(&name, source.to_string()));
                reader
            }
        }
    }

    /// Has every value that is [for development alone](Section::development_only) be a mistake. To be called before
    /// anything is read.
    #[must_use]
    pub fn for_production(mut self) -> Self {
        self.is_for_production = true;
        self
    }

    /// The keys under `name`, which may itself have dots.
    pub fn section(&mut self, name: &str) -> Section<'_> {
        Section { path: name.to_owned(), reader: self }
    }

    /// All mistakes, if there is one. Call it when every section has been read.
    pub fn finish(self) -> Result<(), Mistakes> {
        let keys: BTreeSet<&str> = self.documented.iter().map(|d| d.key.as_str()).collect();
        let variables: BTreeSet<&str> = self.documented.iter().map(|d| d.variable.as_str()).collect();
        let unknown_keys = self
            .file
            .keys()
            .filter(|key| !keys.contains(key.as_str()))
            .map(|key| Mistake::unknown(key, &self.file_name, keys.iter().copied()));
        let unknown_variables = self
            .variables
            .keys()
            .filter(|name| !variables.contains(name.as_str()))
            .map(|name| Mistake::unknown(name, "the environment", variables.iter().copied()));
        let found: Vec<Mistake> = unknown_keys.chain(unknown_variables).collect();
        let all: Vec<Mistake> = self.mistakes.into_iter().chain(found).collect();
        Mistakes::try_from_all(all)
    }

    /// The keys read so far, in the order of reading.
    pub fn documented(&self) -> &[Documented] {
        &self.documented
    }

    fn record(&mut self, mistake: Mistake) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn flatten(&mut self, path: &str, table: toml::Table) {
        for (key, value) in table {
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            match value {
                toml::Value::Table(table) => self.flatten(&path, table),
                toml::Value::String(text) => drop(self.file.insert(path, text)),
                toml::Value::Array(_) => self.mistakes.push(Mistake::file(
                    &self.file_name,
                    format!("{path}: a list is not allowed here; write the values as one string, separated by commas"),
                )),
                other => drop(self.file.insert(path, other.to_string())),
            }
        }
    }
}

/// The keys under one name, such as `[server]`.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    reader: &'a mut Reader,
}

impl Section<'_> {
    /// The value of `key`. `default` is written as a user would write it; a mistake is recorded and
    /// answered with the default.
    ///
    /// # Panics
    /// If `default` itself cannot be read: a mistake in the program.
    pub fn get<T: Setting>(&mut self, key: &str, default: &str, help: &'static str) -> T {
        self.checked(key, default, help, "", |_| true)
    }

    /// Like [`get`](Self::get), with a condition; `allowed` says it in words, such as "1 to 64".
    ///
    /// # Panics
    /// If `default` itself cannot be read: a mistake in the program.
    pub fn checked<T: Setting>(
        &mut self,
        key: &str,
        default: &str,
        help: &'static str,
        allowed: &str,
        is_allowed: impl Fn(&T) -> bool,
    ) -> T {
        let key = format!("{}.{key}", self.path);
        let variable = format!("{PREFIX}{}", key.replace('.', "_").to_uppercase());
        let found = match self.reader.variables.get(&variable) {
            Some(text) => Some((text.clone(), variable.clone())),
            None => self.reader.file.get(&key).map(|text| (text.clone(), self.reader.file_name.clone())),
        };
        let fallback =
            || T::parse(default).unwrap_or_else(|| panic!("the default of {key}, {default:?}, is not {}", T::KIND));
        let value = match found {
            None => fallback(),
            Some((text, origin)) => match T::parse(&text) {
                Some(value) if is_allowed(&value) => value,
                parsed => {
                    let must = if parsed.is_some() { allowed } else { T::KIND };
                    let shown = if T::SECRET { "(hidden)".to_owned() } else { format!("{:?}", without_user(&text)) };
                    self.reader.record(Mistake::value(&key, &shown, &origin, must));
                    fallback()
                }
            },
        };
        // A section that several share is read by each of them, and told once.
        if !self.reader.documented.iter().any(|known| known.key == key) {
            self.reader.documented.push(Documented { key, variable, default: default.to_owned(), help });
        }
        value
    }

    /// Another section of the same settings. One that several share, such as `tls`, is listed once, and
    /// so are its mistakes, however many of them read it.
    pub fn beside(&mut self, name: &str) -> Section<'_> {
        self.reader.section(name)
    }

    /// Records that `key` cannot be as it is beside other settings; `must` follows "must be".
    pub fn refuse(&mut self, key: &str, must: &str) {
        let key = format!("{}.{key}", self.path);
        let variable = format!("{PREFIX}{}", key.replace('.', "_").to_uppercase());
        self.reader.record(Mistake::combination(&key, &variable, must));
    }
}

impl Section<'_> {
    /// Says that `key` is as nobody would have it in production; `must` follows "must be". It is a mistake where
    /// settings are [read for that](Reader::for_production), and nothing elsewhere.
    pub fn development_only(&mut self, key: &str, must: &str) {
        if self.reader.is_for_production {
            self.refuse(key, must);
        }
    }
}

/// A URL may have a password in it, also where none was expected.
fn without_user(text: &str) -> Cow<'_, str> {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://(hidden)@{host}").into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
