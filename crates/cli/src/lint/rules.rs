//! The check of rules: whether every method says who may call it.
//!
//! A method without a rule is denied to everybody where callers are asked who they are, which is safe and
//! seldom meant.

use anstyle::Style;
use anyhow::{Result, bail};
use seawall_auth::rules::Rules;

use super::policy::descriptors;
use crate::checks::{self, Check};
use crate::terminal::{self, BAD, BOLD, Table, count, styled};
use crate::workspace::Workspace;

/// Shows who may call what, or what is wrong with that.
pub(super) fn check(workspace: &Workspace) -> Check {
    const NAME: &str = "auth";
    let folder = workspace.root.join("proto");
    if !folder.is_dir() {
        return Check::skipped(NAME, "there are no contracts: no folder proto/".to_owned());
    }
    checks::run(NAME, || {
        terminal::status("Checking", "rules of proto/");
        // A service without a trust domain is shown as it is written.
        show(&Rules::try_new(&[&descriptors(&folder)?], None)?)
    })
}

fn show(rules: &Rules) -> Result<()> {
    let denied = rules.denied();
    for method in &denied {
        let problem = styled(BOLD, format_args!("{method} does not say who may call it, nor does its service"));
        terminal::print(format!("{}: {problem}", styled(BAD, "error[no-rule]")))?;
        terminal::print(
            "  fix: give it an option, such as (seawall.auth.v1.method) = {allow: {authenticated: true}}\n",
        )?;
    }
    if !denied.is_empty() {
        bail!("{}, above", count(denied.len(), "finding", "findings"));
    }
    let mut table = Table::new(&["METHOD", "WHO MAY CALL"]);
    let mut last = "";
    for (method, rule) in rules.methods() {
        let (service, name) = method.split_once('/').unwrap_or(("", method));
        if service != last {
            last = service;
            table.row(vec![(service.to_owned(), BOLD), (String::new(), Style::new())]);
        }
        table.row(vec![(format!("  {name}"), Style::new()), (rule.to_string(), Style::new())]);
    }
    terminal::print("")?;
    table.lines().into_iter().try_for_each(terminal::print)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_method_of_ours_says_who_may_call_it() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto"));
        let rules = Rules::try_new(&[&descriptors(folder).unwrap()], None).unwrap();
        show(&rules).unwrap();
        let of = |path: &str| rules.by_path(path).to_string();
        assert_eq!(of("/seawall.user.v1.UserService/GetUser"), "scope users.read, or order");
        assert_eq!(of("/seawall.user.v1.UserService/ImportUsers"), "scope users.write, with role admin");
        assert_eq!(of("/nobody"), "nobody");
    }
}
