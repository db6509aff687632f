//! Messages that the user writes as JSON, and what is wrong with them.

use std::fmt;
use std::io::Read as _;

use anyhow::{Context, Result, bail};
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment, Track};

use super::MESSAGE_BYTES_MAX;
use super::nearest::did_you_mean;
use super::shape::kind_name;

/// All that is read of one file or of standard input.
const INPUT_BYTES_MAX: u64 = 4 * MESSAGE_BYTES_MAX as u64;

/// The texts of `--json`: as they are, of a file (`@file`), or of standard input (`-`).
///
/// # Errors
/// If a file cannot be read, or is larger than 256 MiB.
pub(crate) fn read(arguments: &[String]) -> Result<Vec<String>> {
    let text = |argument: &String| match argument.strip_prefix('@') {
        Some(path) => {
            let file =
                std::fs::File::open(path).with_context(|| format!("--json @{path}: the file cannot be opened"))?;
            read_all(file).with_context(|| format!("--json @{path}: the file cannot be read"))
        }
        None if argument == "-" => read_all(std::io::stdin().lock()).context("standard input cannot be read"),
        None => Ok(argument.clone()),
    };
    arguments.iter().map(text).collect()
}

fn read_all(from: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("it is larger than {} MiB", INPUT_BYTES_MAX >> 20);
    }
    Ok(text)
}

/// The messages in the texts, of which each may have several, one after another.
///
/// # Errors
/// If one is not a message of this type, with the field at fault.
pub(crate) fn messages(texts: &[String], of: &MessageDescriptor) -> Result<Vec<DynamicMessage>> {
    let mut messages = Vec::new();
    for text in texts {
        let mut json = serde_json::Deserializer::from_str(text);
        while json.end().is_err() {
            let number = messages.len() + 1;
            let mut track = Track::new();
            let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
            let message = DynamicMessage::deserialize_with_options(of.clone(), tracked, &DeserializeOptions::new());
            match message {
                Ok(message) => messages.push(message),
                Err(error) => {
                    let mistake = Mistake { text, error: &error, path: track.path(), of };
                    let which = if messages.is_empty() { String::new() } else { format!(" (message {number})") };
                    bail!("--json{which}: {mistake}");
                }
            }
        }
    }
    Ok(messages)
}

/// What is wrong with a message, to be shown with the line at fault.
struct Mistake<'a> {
    text: &'a str,
    error: &'a serde_json::Error,
    path: Path,
    of: &'a MessageDescriptor,
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.error.to_string();
        // The place is shown below.
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        match self.error.classify() {
            Category::Syntax | Category::Eof => write!(f, "not JSON: {said}{}", shell_hint(self.text))?,
            Category::Data | Category::Io => self.write_field(f, said)?,
        }
        self.write_line(f)
    }
}

impl Mistake<'_> {
    fn write_field(&self, f: &mut fmt::Formatter<'_>, said: &str) -> fmt::Result {
        let path = self.path.to_string();
        let place = follow(self.of, &self.path);
        let unknown = said.strip_prefix("unrecognized field name '").and_then(|rest| rest.strip_suffix('\''));
        match (unknown, place) {
            (Some(unknown), Some(Place::Message(message))) => {
                let at = if path == "." { unknown.to_owned() } else { format!("{path}.{unknown}") };
                let known: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
                let hint = did_you_mean(unknown, known.iter().map(String::as_str));
                write!(f, "{at}: {} has no such field{hint}; it has: {}", message.name(), known.join(", "))
            }
            (_, Some(Place::Field(field, is_element))) => {
                write!(f, "{path}: must be {}: {said}", expected(&field, is_element))
            }
            (_, place) => {
                let name = match &place {
                    Some(Place::Message(message)) => message.name(),
                    _ => self.of.name(),
                };
                let at = if path == "." { String::new() } else { format!("{path}: ") };
                write!(f, "{at}must be the JSON of a {name}: {said}")
            }
        }
    }

    /// The line, as much of it as matters, and a mark below where reading stopped.
    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AROUND: usize = 60;
        let (line, column) = (self.error.line(), self.error.column());
        let Some(text) = self.text.lines().nth(line.saturating_sub(1)) else { return Ok(()) };
        // Columns are counted in bytes.
        let before = text.get(..column.min(text.len())).map_or(0, |before| before.chars().count());
        let from = before.saturating_sub(AROUND);
        let shown: String = text.chars().skip(from).take(2 * AROUND).collect();
        let cut = if from > 0 { "…" } else { "" };
        let number = format!("{line}");
        let indent = cut.chars().count() + before.saturating_sub(from + 1);
        write!(f, "\n  {number} | {cut}{shown}\n  {:width$} | {:indent$}^", "", "", width = number.len())
    }
}

/// What many a shell makes of quotes.
fn shell_hint(text: &str) -> &'static str {
    let is_stripped = text.trim_start().starts_with('{') && !text.contains('"') && text.contains(':');
    if is_stripped { "; the shell has taken the quotes away: put single quotes around it" } else { "" }
}

/// Where a path leads to.
enum Place {
    Message(MessageDescriptor),
    /// A field without fields of its own; whether an element of it is meant.
    Field(FieldDescriptor, bool),
}

fn follow(of: &MessageDescriptor, path: &Path) -> Option<Place> {
    let mut place = Place::Message(of.clone());
    for segment in path {
        place = match (place, segment) {
            (Place::Message(message), Segment::Map { key }) => {
                let field = message.get_field_by_json_name(key).or_else(|| message.get_field_by_name(key))?;
                enter(field, false)
            }
            (Place::Field(field, false), Segment::Seq { .. } | Segment::Map { .. }) => enter(field, true),
            (place, _) => place,
        };
    }
    Some(place)
}

fn enter(field: FieldDescriptor, is_element: bool) -> Place {
    let is_many = field.is_list() || field.is_map();
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    match kind {
        // The others of that package are written as texts and numbers.
        Kind::Message(message) if is_element == is_many && !message.full_name().starts_with("google.protobuf.") => {
            Place::Message(message)
        }
        _ => Place::Field(field, is_element),
    }
}

/// What a field must be, in words.
fn expected(field: &FieldDescriptor, is_element: bool) -> String {
    let element = |kind: &Kind| match kind {
        Kind::Enum(of) => {
            let values: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
            format!("one of {}", values.join(", "))
        }
        Kind::Bytes => "bytes as base64".to_owned(),
        Kind::Message(of) => match of.full_name() {
            "google.protobuf.Timestamp" => "a time such as \"2026-01-31T10:00:00Z\"".to_owned(),
            "google.protobuf.Duration" => "a duration such as \"1.5s\"".to_owned(),
            "google.protobuf.FieldMask" => "names of fields such as \"displayName,email\"".to_owned(),
            _ => kind_name(kind),
        },
        _ => kind_name(kind),
    };
    let kind = field.kind();
    match &kind {
        Kind::Message(entry) if field.is_map() && is_element => element(&entry.map_entry_value_field().kind()),
        Kind::Message(_) if field.is_map() => "an object {…}".to_owned(),
        kind if field.is_list() && !is_element => format!("a list […] of {}", kind_name(kind)),
        kind => element(kind),
    }
}

#[cfg(test)]
mod tests;
