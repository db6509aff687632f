//! The file: TOML, read with the line of every setting.
//!
//! ```toml
//! [default]
//! breaker.failure_rate = 0.4
//!
//! ["seawall.user.v1.UserService"]
//! budget = "750ms"
//!
//! ["seawall.user.v1.UserService/GetUser"]
//! retry.attempts_max = 2
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::contract::{Contract, Location};
use crate::mistake::{Mistake, Mistakes, did_you_mean};
use crate::settings::{Layer, Scope, Settings, Source, Value};

/// The table whose settings hold for every method.
pub(crate) const DEFAULT: &str = "default";

/// What a file says, by table: `default`, a service or a method.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct File(BTreeMap<String, Settings>);

impl File {
    /// Reads the text of a file, as far as it can be read. `name` is for the messages.
    pub(crate) fn read(text: &str, name: &str, contract: &Contract, mistakes: &mut Mistakes) -> Self {
        let lines = Lines { text, file: name.into() };
        let (tables, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let location = lines.at(error.span().map_or(0, |span| span.start));
            mistakes.add(Mistake::at(location, error.message()));
        }
        let mut file = Self::default();
        for (key, value) in tables.get_ref() {
            let (subject, location) = (key.get_ref().as_ref(), lines.at(key.span().start));
            let Some(scope) = scope(subject, contract) else {
                mistakes.add(Mistake::at(location, unknown_subject(subject, contract)));
                continue;
            };
            let Some(table) = value.get_ref().as_table() else {
                mistakes.add(Mistake::at(location, format_args!("[{subject}] must be a table")));
                continue;
            };
            let source = Source { location, scope, subject: subject.to_owned(), is_contract: false };
            let mut layer = Layer::default();
            flatten("", table, &source, &lines, &mut layer);
            file.0.insert(subject.to_owned(), Settings::read(&layer, mistakes));
        }
        file
    }

    /// What the file says for `default`, a service or a method.
    pub(crate) fn settings(&self, subject: &str) -> Option<&Settings> {
        self.0.get(subject)
    }
}

fn scope(subject: &str, contract: &Contract) -> Option<Scope> {
    if subject == DEFAULT {
        Some(Scope::Default)
    } else if contract.by_name(subject).is_some() {
        Some(Scope::Method)
    } else {
        contract.declared_by_service(subject).map(|_| Scope::Service)
    }
}

fn unknown_subject(subject: &str, contract: &Contract) -> String {
    if crate::keys::find(subject).is_some() || crate::keys::names().any(|key| key.split('.').next() == Some(subject)) {
        return format!("{subject} stands in no table; put it under [{DEFAULT}], a service or a method");
    }
    let methods = contract.methods().map(|(_, method)| &*method.name);
    let known = methods.chain(contract.services()).chain([DEFAULT]);
    let hint = did_you_mean(subject, known)
        .unwrap_or_else(|| "; a table is [default], [\"package.Service\"] or [\"package.Service/Method\"]".to_owned());
    format!("[{subject}]: no service or method of the contracts{hint}")
}

/// Adds what stands in a table, and in the tables in it, as keys with dots.
fn flatten(prefix: &str, table: &DeTable<'_>, source: &Source, lines: &Lines<'_>, layer: &mut Layer) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let source = Source { location: lines.at(key.span().start), ..source.clone() };
        match value.get_ref() {
            DeValue::Table(table) => flatten(&format!("{name}."), table, &source, lines, layer),
            other => layer.set(&name, read(other), source),
        }
    }
}

fn read(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(whole) => Value::Whole(whole),
            Err(_) => Value::Other(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Other(number.as_str().to_owned()),
        },
        DeValue::Boolean(yes) => Value::Yes(*yes),
        DeValue::Array(values) => {
            let texts = values.iter().map(Spanned::get_ref).map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map_or_else(|| Value::Other("[…]".to_owned()), Value::Texts)
        }
        other => Value::Other(format!("a {}", other.type_str())),
    }
}

/// Where in the file an offset is.
struct Lines<'a> {
    text: &'a str,
    file: Arc<str>,
}

impl Lines<'_> {
    fn at(&self, offset: usize) -> Location {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Location { file: self.file.clone(), line }
    }
}
