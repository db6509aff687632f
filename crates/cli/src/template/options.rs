//! What a template is filled in with: what was chosen of a service, and what the workspace says.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::peers::{self, Peer};
use super::sections::{Facts, Word};

/// Where contracts and errors of Seawall's own workspace begin, and those of any other that does not say.
const PACKAGE: &str = "seawall";
/// What a method that calls others may take beside them.
const OWN_BUDGET_MS: u128 = 500;

/// Where a service keeps what it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    /// In SQLite or PostgreSQL
    #[default]
    Sql,
    /// Nowhere
    None,
}

/// What was chosen of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) metrics_port: u16,
    pub(crate) store: Store,
    /// The services that it calls.
    pub(crate) calls: Vec<String>,
    /// Whether it has a method that streams.
    pub(crate) stream: bool,
}

impl Options {
    /// What the templates are filled in with, in the workspace at `root`.
    pub(crate) fn facts(&self, root: &Path) -> Result<Facts> {
        let package = package(root)?;
        let peers = peers::find(root, &package, &self.calls)?;
        let mut flags = BTreeSet::from([match self.store {
            Store::Sql => "sql",
            Store::None => "none",
        }]);
        if self.stream {
            flags.insert("stream");
        }
        if !peers.is_empty() {
            flags.insert("calls");
        }
        if self.store == Store::Sql || !peers.is_empty() {
            flags.insert("settings");
        }
        let calls: Vec<String> = self.calls.iter().map(|call| format!("{call:?}")).collect();
        let budget_ms = peers.iter().map(|peer| peer.budget.as_millis()).sum::<u128>() + OWN_BUDGET_MS;
        let each = |text: fn(&Peer) -> String| peers.iter().map(text).collect::<String>();
        let values = 3 + peers.len();
        let parameters: Vec<String> = (1..=values).map(|number| format!("${number}")).collect();
        let words = vec![
            ("__root__", package),
            ("__name__", self.name.clone()),
            ("__Name__", capitalized(&self.name)),
            ("__NAME__", self.name.to_uppercase()),
            ("__port__", self.port.to_string()),
            ("__metrics_port__", self.metrics_port.to_string()),
            ("__calls__", calls.join(", ")),
            ("__budget__", budget_ms.to_string()),
            // What stands in one line for all that it calls.
            ("__columns__", each(|peer| format!(", {}_id", peer.name))),
            ("__parameters__", parameters.join(", ")),
            ("__values__", values.to_string()),
            ("__example_ids__", each(|peer| format!(r#","{}_id":"'${}_ID'""#, peer.name, peer.name.to_uppercase()))),
        ];
        // 1 to 3 are the fields that every item has.
        let calls = peers.iter().zip(4..).map(|(peer, number)| words_of(peer, number)).collect();
        Ok(Facts { flags, words, calls })
    }
}

fn words_of(peer: &Peer, number: u32) -> Vec<Word> {
    vec![
        ("__peer__", peer.name.clone()),
        ("__PEER__", peer.name.to_uppercase()),
        ("__peer_port__", peer.port.to_string()),
        ("__peer_package__", peer.package.clone()),
        ("__peer_module__", peer.package.replace('.', "::")),
        ("__PeerService__", peer.service.clone()),
        ("__peer_service__", heck::AsSnakeCase(&peer.service).to_string()),
        ("__PeerMethod__", peer.method.clone()),
        ("__peer_method__", heck::AsSnakeCase(&peer.method).to_string()),
        ("__PeerRequest__", peer.request.clone()),
        ("__PeerResponse__", peer.response.clone()),
        ("__peer_field__", peer.field.clone()),
        ("__PeerThing__", peer.thing.clone()),
        ("__n__", number.to_string()),
    ]
}

/// What the packages of the workspace's contracts begin with: `package` of `[workspace.metadata.seawall]`.
pub(crate) fn package(root: &Path) -> Result<String> {
    let path = root.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest: toml::Table = text.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
    let metadata = manifest.get("workspace").and_then(|workspace| workspace.get("metadata"));
    let said = metadata.and_then(|metadata| metadata.get("seawall")?.get("package")?.as_str());
    Ok(said.unwrap_or(PACKAGE).to_owned())
}

/// With a capital letter at its beginning.
pub(crate) fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
