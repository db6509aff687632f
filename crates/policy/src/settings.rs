//! Settings as they are written, by key, each with where it comes from; and how they are merged.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tonic::Code;

use crate::contract::Location;
use crate::keys::{self, Key};
use crate::mistake::{Mistake, Mistakes};

/// What a setting can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Whole(u64),
    Number(f64),
    Yes(bool),
    Duration(Duration),
    Texts(Vec<String>),
    Codes(Vec<Code>),
    /// Of a kind that no setting has; the text is for the message.
    Other(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Yes(yes) => write!(f, "{yes}"),
            Self::Duration(duration) => write!(f, "{}", humantime::format_duration(*duration)),
            Self::Texts(texts) => f.write_str(&texts.join(", ")),
            Self::Codes(codes) => {
                let names: Vec<&str> = codes.iter().map(|code| seawall_error::code_name(*code)).collect();
                f.write_str(&names.join(", "))
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// For how much a setting holds. Later wins over earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Default,
    Service,
    Method,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source {
    pub(crate) location: Location,
    pub(crate) scope: Scope,
    /// `default`, or the name of the service or method.
    pub(crate) subject: String,
    pub(crate) is_contract: bool,
}

impl Source {
    /// Of two settings of one method, the one with the greater rank holds.
    pub(crate) fn rank(&self) -> (bool, Scope) {
        (!self.is_contract, self.scope)
    }

    pub(crate) fn contract(location: Location, scope: Scope, subject: &str) -> Self {
        Self { location, scope, subject: subject.to_owned(), is_contract: true }
    }
}

/// A value with where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// What one place says, as it is written: nothing is checked yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Layer(Vec<(String, Setting)>);

impl Layer {
    pub(crate) fn set(&mut self, key: &str, value: Value, source: Source) {
        self.0.push((key.to_owned(), Setting { value, source }));
    }
}

/// Settings by key, each known and of its kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    /// What a layer says, without what is wrong in it.
    pub(crate) fn read(layer: &Layer, mistakes: &mut Mistakes) -> Self {
        let mut read = BTreeMap::new();
        for (name, Setting { value, source }) in &layer.0 {
            let Some(key) = keys::find(name) else {
                mistakes.add(Mistake::unknown_key(source, name));
                continue;
            };
            match key.kind.read(value) {
                Ok(value) => drop(read.insert(key.name, Setting { value, source: source.clone() })),
                Err(must_be) => mistakes.add(Mistake::value(source, name, value, &must_be)),
            }
        }
        Self(read)
    }

    /// The same with another layer over it, whose settings win.
    #[must_use]
    pub(crate) fn under(mut self, upper: &Self) -> Self {
        self.0.extend(upper.0.iter().map(|(key, setting)| (*key, setting.clone())));
        self
    }

    /// Leaves out what is not to hold.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&'static str, &Setting) -> bool) {
        self.0.retain(|key, setting| keep(key, setting));
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        self.0.iter().filter_map(|(name, setting)| Some((keys::find(name)?, setting)))
    }
}
