//! The policies of all methods at one moment, and what differs from one table to the next.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use seawall_retry::Idempotency;

use crate::contract::{Contract, MethodId};
use crate::file::{DEFAULT, File};
use crate::finish::{Effects, Finish};
use crate::method_policy::MethodPolicy;
use crate::mistake::{Mistake, Mistakes};
use crate::settings::Settings;

/// The name under which paths are told that are in no contract.
pub(crate) const OTHER: &str = "other";

/// One row a method, and a last one for all other paths.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) settings: Settings,
    pub(crate) policy: Arc<MethodPolicy>,
}

impl Table {
    /// Merges what the contract declares with a file: first the contract's service and method, over
    /// them the file's `default`, service and method.
    /// With mistakes it is not to be used, but by those who look for more of them.
    pub(crate) fn merge(contract: &Contract, file: &File, mistakes: &mut Mistakes) -> Self {
        let mut effects = Effects::default();
        let nothing = Settings::default();
        let in_file = |subject: &str| file.settings(subject).unwrap_or(&nothing);
        let mut rows = Vec::with_capacity(contract.ids());
        for (_, method) in contract.methods() {
            let service = method.service();
            let of_service = contract.declared_by_service(service);
            let of_service = of_service.map(|layer| Settings::read(layer, mistakes)).unwrap_or_default();
            let of_method = Settings::read(&method.declared, mistakes);
            let uppers = [&of_method, in_file(DEFAULT), in_file(service), in_file(&method.name)];
            let settings = uppers.into_iter().fold(of_service, |settings, upper| {
                effects.count_overruled(&settings, upper);
                settings.under(upper)
            });
            let (name, idempotency) = (&*method.name, method.idempotency);
            let finish = Finish { name, idempotency, effects: &mut effects, mistakes };
            rows.push(Row::new(finish.policy(settings)));
        }
        let other = Finish { name: OTHER, idempotency: Idempotency::None, effects: &mut effects, mistakes };
        rows.push(Row::new(other.policy(in_file(DEFAULT).clone())));
        effects.finish(mistakes);
        Self { rows }
    }

    /// Rows that are as they were are those of the table before, so that whoever holds one sees that
    /// nothing has changed.
    pub(crate) fn keep_unchanged(&mut self, before: &Self) {
        for (row, before) in self.rows.iter_mut().zip(&before.rows) {
            if row.policy == before.policy {
                row.policy = before.policy.clone();
            }
        }
    }

    /// With every rate that replicas share as a mistake, and what it needs.
    pub(crate) fn refuse_shared_rates(&self, needs: &str) -> Result<(), Mistakes> {
        let mut mistakes = Mistakes::default();
        for row in &self.rows {
            let is_shared = row.policy.rate.as_ref().is_some_and(|rate| rate.shared);
            if let Some(setting) = row.settings.get("rate.shared").filter(|_| is_shared) {
                mistakes.add(Mistake::setting(&setting.source, &format!("rate.shared = true: {needs}")));
            }
        }
        mistakes.into_result()
    }

    /// An id of another contract has the policy of paths that are in none.
    pub(crate) fn row(&self, id: MethodId) -> &Row {
        &self.rows[id.index().min(self.rows.len() - 1)]
    }

    /// What is another in this table than in the one before.
    pub(crate) fn changed_since(&self, before: &Self, contract: &Contract) -> Changed {
        let mut changed = BTreeMap::<(String, String, String), Vec<Arc<str>>>::new();
        for (index, (after, before)) in self.rows.iter().zip(&before.rows).enumerate() {
            let mut of_method = BTreeMap::new();
            for (key, setting) in before.settings.iter() {
                of_method.entry(key.name).or_insert((None, None)).0 = Some(&setting.value);
            }
            for (key, setting) in after.settings.iter() {
                of_method.entry(key.name).or_insert((None, None)).1 = Some(&setting.value);
            }
            for (key, (was, is)) in of_method {
                if was != is {
                    let text =
                        |value: Option<&crate::settings::Value>| value.map_or("unset".to_owned(), ToString::to_string);
                    let method = contract.methods().nth(index).map_or(OTHER.into(), |(_, method)| method.name.clone());
                    changed.entry((key.to_owned(), text(was), text(is))).or_default().push(method);
                }
            }
        }
        let changes = changed.into_iter().map(|((key, before, after), methods)| Change { key, before, after, methods });
        Changed(changes.collect())
    }
}

impl Row {
    fn new((settings, policy): (Settings, MethodPolicy)) -> Self {
        Self { settings, policy: Arc::new(policy) }
    }
}

/// One setting that is another now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as `retry.attempts_max`.
    pub key: String,
    /// What it was; `unset` where nobody had set it.
    pub before: String,
    /// What it is.
    pub after: String,
    /// The names of the methods for which it has changed; `other` for paths in no contract.
    pub methods: Vec<Arc<str>>,
}

/// What a reload has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed(Vec<Change>);

/// How many changes, and methods of one change, a line names.
const NAMED_MAX: usize = 8;

impl Changed {
    /// The changes, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.0.iter()
    }

    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// On one line, of a bounded length.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.0.iter().take(NAMED_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{change}")?;
        }
        match self.0.len().checked_sub(NAMED_MAX) {
            Some(more) if more > 0 => write!(f, "; and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after, methods } = self;
        write!(f, "{key} {before} → {after} for ")?;
        match methods.len() {
            number if number > NAMED_MAX => write!(f, "{number} methods"),
            _ => f.write_str(&methods.join(", ")),
        }
    }
}
