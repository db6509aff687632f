//! The policies in force, to be shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::settings::Settings;

/// The settings in force. What is not here has the default of the crate whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// How often they have changed since the start.
    pub changes: u64,
    /// By method, `other` for paths in no contract; then by key, such as `retry.attempts_max`.
    pub methods: BTreeMap<String, BTreeMap<&'static str, SettingSnapshot>>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingSnapshot {
    /// As it would be written.
    pub value: String,
    /// The contract or file that says so, with the line.
    pub from: String,
}

pub(crate) fn of(settings: &Settings) -> BTreeMap<&'static str, SettingSnapshot> {
    let shown = settings.iter().map(|(key, setting)| {
        let (value, from) = (setting.value.to_string(), setting.source.location.to_string());
        (key.name, SettingSnapshot { value, from })
    });
    shown.collect()
}
