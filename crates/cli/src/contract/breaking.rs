//! What buf finds to be broken, for whom, and what to do instead.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::workspace::Workspace;

/// buf's exit code when it has found something.
const FOUND: i32 = 100;

/// One thing that breaks, as buf tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Break {
    /// In the folder of the contracts; nothing for a file that is gone.
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    start_line: Option<u32>,
    #[serde(default)]
    start_column: Option<u32>,
    #[serde(rename = "type")]
    pub(super) rule: String,
    pub(super) message: String,
}

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Those who call.
    Callers,
    /// Those who call with JSON.
    JsonCallers,
    /// Whoever sends or reads the message, also what lies in a database or a queue.
    Everybody,
}

/// What a rule is about, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) who: Who,
    pub(super) what: &'static str,
    pub(super) fix: &'static str,
}

/// Compares `proto/` with that of a commit.
///
/// # Errors
/// If a contract does not compile, or git or buf cannot be run.
pub(super) fn find(buf: &Path, root: &Path, commit: &str) -> Result<Vec<Break>> {
    // By a pipe, because buf would else clone the repository.
    let mut archive = Command::new("git");
    archive.arg("-C").arg(root).args(["archive", "--format=tar", commit, "proto"]);
    let mut archive = archive.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("git cannot be run")?;
    let tar = archive.stdout.take().context("git has no output")?;
    let mut command = Command::new(buf);
    command.args(["breaking", "--error-format", "json", "--against", "-#format=tar,subdir=proto"]);
    let output = command.current_dir(root.join("proto")).stdin(tar).output();
    let archived = archive.wait().context("git cannot be waited for")?;
    let output = output.with_context(|| format!("{} cannot be run", buf.display()))?;
    if !archived.success() {
        bail!("git cannot read proto/ of {commit}");
    }
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        Some(FOUND) => {
            let found = String::from_utf8_lossy(&output.stdout);
            found.lines().map(|line| serde_json::from_str(line).with_context(|| format!("buf says {line}"))).collect()
        }
        _ => bail!("buf cannot compare them: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

impl Break {
    /// Where it is, as an editor finds it.
    pub(super) fn place(&self) -> String {
        let Some(path) = &self.path else { return "proto/".to_owned() };
        match (self.start_line, self.start_column) {
            (Some(line), Some(column)) => format!("proto/{path}:{line}:{column}"),
            _ => format!("proto/{path}"),
        }
    }

    /// What it does, and what to do.
    pub(super) fn advice(&self) -> Advice {
        use Who::{Callers, Everybody, JsonCallers};
        let advice = |who, what, fix| Advice { who, what, fix };
        match self.rule.as_str() {
            "COMPILE" => advice(Everybody, "it does not compile", "correct what is said"),
            "RPC_NO_DELETE"
            | "PACKAGE_SERVICE_NO_DELETE"
            | "SERVICE_NO_DELETE"
            | "FILE_NO_DELETE"
            | "PACKAGE_NO_DELETE"
            | "FILE_SAME_PACKAGE" => advice(
                Callers,
                "their calls are answered UNIMPLEMENTED",
                "bring it back, with `option deprecated = true` until nobody calls it",
            ),
            "RPC_SAME_IDEMPOTENCY_LEVEL" => advice(
                Callers,
                "they go on to make calls again that may no longer be made twice",
                "keep the level, or add another method",
            ),
            rule if rule.starts_with("RPC_") => advice(
                Callers,
                "they send or expect another message, or a stream where there is none",
                "leave the method as it was, and add another one",
            ),
            "FIELD_SAME_JSON_NAME" | "FIELD_SAME_NAME" | "FIELD_NO_DELETE_UNLESS_NAME_RESERVED" => advice(
                JsonCallers,
                "what they send under the old name is refused, and what they read is not there",
                "keep the old name, at least as json_name; reserve the name of a field that is gone",
            ),
            "ENUM_VALUE_SAME_NAME" | "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED" => advice(
                JsonCallers,
                "they send or read the old name of the value",
                "keep the old name; reserve the name of a value that is gone",
            ),
            rule if rule.starts_with("RESERVED_") => advice(
                Everybody,
                "a number or name that once meant something else can be taken again",
                "reserve it again",
            ),
            rule if rule.contains("NO_DELETE") => advice(
                Everybody,
                "what was sent or stored with it is lost, and misread once its number is taken again",
                "bring it back, deprecated; or reserve its number and its name: reserved 4; reserved \"old_name\";",
            ),
            rule if rule.starts_with("FIELD_") || rule.starts_with("ONEOF_") => advice(
                Everybody,
                "what was sent or stored by the old contract is misread or refused",
                "leave the field as it was, and add another one with a new number",
            ),
            _ => advice(
                Everybody,
                "what was sent or stored by the old contract may be misread",
                "leave it as it was, and add what is new beside it",
            ),
        }
    }
}

/// Who calls whom in this workspace.
#[derive(Debug)]
pub(super) struct Known {
    /// A service, and those that call it.
    callers: Vec<(String, Vec<String>)>,
}

impl Known {
    pub(super) fn new(workspace: &Workspace) -> Self {
        let callers_of = |name: &String| {
            let callers = workspace.services.iter().filter(|other| other.metadata.calls.contains(name));
            callers.map(|caller| caller.name.clone()).collect()
        };
        let services = workspace.services.iter().map(|service| &service.name);
        Self { callers: services.map(|name| (name.clone(), callers_of(name))).collect() }
    }

    /// Those who are hit, by name where they are known: a contract of `user` lies in a folder of that name.
    pub(super) fn who(&self, path: &Option<String>, who: Who) -> String {
        let folders = path.as_deref().unwrap_or_default();
        let owner =
            self.callers.iter().find(|(name, _)| folders.split('/').any(|folder| folder == name.replace('-', "_")));
        let callers = owner.map_or(&[][..], |(_, callers)| callers).join(", ");
        let others = match who {
            Who::Callers => "whoever calls it",
            Who::JsonCallers => "whoever speaks JSON with it (a browser, a script, cargo seawall call)",
            Who::Everybody => "whoever sends, reads or has stored it",
        };
        if callers.is_empty() { others.to_owned() } else { format!("{callers} as deployed, and {others}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Break {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_finding_has_its_place_as_far_as_there_is_one() {
        let field = r#"{"path":"a/v1/a.proto","start_line":3,"start_column":5,"end_line":3,"end_column":9,"type":"FIELD_SAME_TYPE","message":"m"}"#;
        assert_eq!(found(field).place(), "proto/a/v1/a.proto:3:5");
        assert_eq!(found(r#"{"type":"FILE_NO_DELETE","message":"m"}"#).place(), "proto/");
    }

    #[test]
    fn those_who_call_the_owner_of_a_contract_are_named() {
        let known = Known { callers: vec![("user".into(), vec!["order".into(), "gateway".into()])] };
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(
            known.who(&path("seawall/user/v1/user.proto"), Who::Callers),
            "order, gateway as deployed, and whoever calls it"
        );
        assert_eq!(known.who(&path("seawall/order/v1/order.proto"), Who::Callers), "whoever calls it");
        assert!(known.who(&None, Who::Everybody).starts_with("whoever sends"));
    }

    #[test]
    fn every_rule_has_advice_and_the_wire_is_told_from_json() {
        let advice = |rule: &str| found(&format!(r#"{{"type":"{rule}","message":"m"}}"#)).advice();
        assert_eq!(advice("RPC_NO_DELETE").who, Who::Callers);
        assert_eq!(advice("FIELD_SAME_JSON_NAME").who, Who::JsonCallers);
        assert!(advice("FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED").fix.contains("reserved 4"));
        assert!(advice("FIELD_WIRE_JSON_COMPATIBLE_TYPE").fix.contains("new number"));
        assert!(advice("SOMETHING_NEW").what.contains("misread"));
    }
}
