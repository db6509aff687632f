//! The check of policies: whether what the contracts declare fits together, and fits the code.
//!
//! The contracts are compiled here and now, so that what is checked is what stands in the files.

use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::{Context, Result, bail};
use seawall_policy::lint::{Finding, Place, lint};
use seawall_policy::{Contract, MethodId, Policies};

use super::code;
use crate::checks::{self, Check};
use crate::terminal::{self, BAD, BOLD, BUSY, DIM, Table, count, styled};
use crate::workspace::Workspace;

/// Compares the contracts with each other and with the code, and shows what was found: findings, or
/// who calls whom with which budget.
pub(super) fn check(workspace: &Workspace) -> Check {
    const NAME: &str = "policy";
    if !workspace.root.join("proto").is_dir() {
        return Check::skipped(NAME, "there are no contracts: no folder proto/".to_owned());
    }
    checks::run(NAME, || {
        terminal::status("Checking", "policies of proto/ and calls of services/");
        let contract = compile(&workspace.root.join("proto"))?;
        let findings = lint(&contract, &code::packages(&workspace.root, &contract)?);
        for finding in &findings {
            lines_of(finding).into_iter().try_for_each(terminal::print)?;
        }
        if findings.is_empty() {
            return show(&contract);
        }
        bail!("{}, above", count(findings.len(), "finding", "findings"))
    })
}

/// The contracts below a folder.
fn compile(folder: &Path) -> Result<Contract> {
    Ok(Contract::try_new(&[&descriptors(folder)?])?)
}

/// The contracts below a folder, as an encoded `google.protobuf.FileDescriptorSet`.
pub(crate) fn descriptors(folder: &Path) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let compiled = protox::Compiler::new([folder]).and_then(|mut compiler| {
        compiler.include_imports(true).include_source_info(true).open_files(&files)?;
        Ok(compiler.encode_file_descriptor_set())
    });
    compiled.map_err(|error| anyhow::anyhow!("{error:?}").context("the contracts do not compile"))
}

/// Adds every `.proto` below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// A finding as compilers show theirs.
fn lines_of(finding: &Finding) -> Vec<String> {
    let Finding { rule, place, problem, figures, fix } = finding;
    let mut lines =
        vec![format!("{}: {}", styled(BAD, format_args!("error[{}]", rule.as_str())), styled(BOLD, problem))];
    match place {
        Some(Place::Contract(location)) => lines.push(format!("  {} proto/{location}", styled(BUSY, "-->"))),
        Some(Place::Code(location)) => lines.push(format!("  {} {location}", styled(BUSY, "-->"))),
        None => {}
    }
    let names = figures.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let numbers = figures.iter().map(|(_, number)| number.chars().count()).max().unwrap_or(0);
    lines.extend(figures.iter().map(|(name, number)| format!("      {name:names$}  {number:>numbers$}")));
    if !fix.is_empty() {
        lines.push(format!("  {} {fix}", styled(BUSY, "fix:")));
    }
    lines.push(String::new());
    lines
}

/// Who calls whom, with the budgets.
fn show(contract: &Contract) -> Result<()> {
    let policies = Policies::try_new(contract.clone(), None).context("the policies of the contracts do not hold")?;
    let mut table = Table::new(&["METHOD", "BUDGET", "CRITICALITY", "ATTEMPTS"]);
    let mut service = "";
    for (id, method) in contract.methods() {
        if method.service() != service {
            service = method.service();
            table.row(vec![(service.to_owned(), BOLD), none(), none(), none()]);
        }
        let name = method.name.rsplit('/').next().unwrap_or_default();
        table.row(row(&policies, id, format!("  {name}"), Style::new()));
        tree(&policies, id, "  ", &mut table);
    }
    terminal::print("")?;
    table.lines().into_iter().try_for_each(terminal::print)
}

/// The calls of a method, and theirs. There are no circles, or there would have been a finding.
fn tree(policies: &Policies, id: MethodId, indent: &str, table: &mut Table) {
    let contract = policies.contract();
    let calls = contract.method(id).map_or(&[][..], |method| &method.calls);
    for (index, call) in calls.iter().enumerate() {
        let Some(callee) = contract.id(&format!("/{call}")) else { continue };
        let (branch, line) = if index + 1 == calls.len() { ("└─", "   ") } else { ("├─", "│  ") };
        table.row(row(policies, callee, format!("{indent}{branch} {call}"), DIM));
        tree(policies, callee, &format!("{indent}{line}"), table);
    }
}

fn row(policies: &Policies, id: MethodId, name: String, style: Style) -> Vec<(String, Style)> {
    let policy = policies.get(id);
    let budget = policy.budget.map_or("-".to_owned(), |budget| humantime::format_duration(budget).to_string());
    let attempts = match (&policy.retry, &policy.hedge) {
        (Some(retry), _) => format!("{}, after a failure", retry.attempts_max),
        (None, Some(hedge)) => format!("{}, when slow", hedge.attempts_max),
        (None, None) => "1".to_owned(),
    };
    let cells = [name, budget, policy.criticality.as_str().to_owned(), attempts];
    cells.into_iter().map(|cell| (cell, style)).collect()
}

fn none() -> (String, Style) {
    (String::new(), Style::new())
}
