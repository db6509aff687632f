//! Contracts judged as a whole: whether what methods declare fits together, and fits the code.
//!
//! Pure: it is given the contract and the calls that were found in the code. Finding them is for the
//! command line.

mod graph;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::contract::{Contract, Location, Method, MethodId};
use crate::file::File;
use crate::method_policy::MethodPolicy;
use crate::mistake::{Mistakes, did_you_mean};
use crate::table::Table;
use graph::Graph;

/// A call along any path may be made this many times for one call at its start. More, and retries
/// bring down what was about to recover.
pub const ATTEMPTS_MAX: u64 = 3;

/// A package with services, and the calls that its code makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Its folder, such as `services/order`.
    pub name: String,
    /// The services that it serves, each as `package.Service`.
    pub serves: BTreeSet<String>,
    /// The calls in its code.
    pub calls: Vec<Call>,
}

/// A call in the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is called: `package.Service/Method`.
    pub method: String,
    /// Where.
    pub location: Location,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A setting is wrong, such as a retry of a method that is not idempotent.
    Setting,
    /// `calls` names a method that does not exist.
    UnknownMethod,
    /// Methods call each other in a circle.
    Cycle,
    /// A method that is called, or calls, has no budget.
    NoBudget,
    /// The budgets of a method's calls do not fit in its own.
    Budget,
    /// Retries and hedges multiply along a path of calls.
    Amplification,
    /// The code calls a method that the contract does not name.
    Undeclared,
    /// The contract names a call that no code makes.
    Unmade,
}

impl Rule {
    /// The rule in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::UnknownMethod => "unknown-method",
            Self::Cycle => "cycle",
            Self::NoBudget => "no-budget",
            Self::Budget => "budget",
            Self::Amplification => "amplification",
            Self::Undeclared => "undeclared-call",
            Self::Unmade => "unmade-call",
        }
    }
}

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a contract; the path is the one that contracts import.
    Contract(Location),
    /// In the code.
    Code(Location),
}

/// Something that has to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub rule: Rule,
    /// Where; `None` where it follows from defaults.
    pub place: Option<Place>,
    /// What is wrong, in one line.
    pub problem: String,
    /// The numbers behind it: what they belong to, and the number.
    pub figures: Vec<(String, String)>,
    /// What to do about it.
    pub fix: String,
}

/// Everything that is wrong with the contract, in itself and beside the code.
///
/// A method is judged by what the contract declares alone: a file that overrides it is another's.
/// Packages that serve nothing have no contract that their calls could stand in.
pub fn lint(contract: &Contract, packages: &[Package]) -> Vec<Finding> {
    let mut mistakes = Mistakes::default();
    let table = Table::merge(contract, &File::default(), &mut mistakes);
    let mut findings: Vec<Finding> = mistakes
        .iter()
        .map(|mistake| Finding {
            rule: Rule::Setting,
            place: mistake.location().cloned().map(Place::Contract),
            problem: mistake.problem().to_owned(),
            figures: Vec::new(),
            fix: String::new(),
        })
        .collect();
    let lint = Lint { contract, table: &table, graph: Graph::new(contract) };
    findings.extend(lint.unknown_methods());
    findings.extend(lint.cycles());
    findings.extend(lint.budgets());
    findings.extend(lint.amplification());
    findings.extend(packages.iter().flat_map(|package| lint.undeclared(package)));
    findings.extend(lint.unmade(packages));
    findings
}

struct Lint<'a> {
    contract: &'a Contract,
    table: &'a Table,
    graph: Graph,
}

impl<'a> Lint<'a> {
    fn methods(&self) -> impl Iterator<Item = (MethodId, &'a Method)> {
        self.contract.methods()
    }

    fn policy(&self, id: MethodId) -> &MethodPolicy {
        &self.table.row(id).policy
    }

    fn name(&self, id: MethodId) -> &str {
        self.contract.method(id).map_or("", |method| &method.name)
    }

    fn finding(&self, rule: Rule, id: MethodId, problem: impl fmt::Display, fix: impl Into<String>) -> Finding {
        let place = self.contract.method(id).map(|method| Place::Contract(method.location.clone()));
        let problem = format!("{} {problem}", self.name(id));
        Finding { rule, place, problem, figures: Vec::new(), fix: fix.into() }
    }

    fn unknown_methods(&self) -> Vec<Finding> {
        let unknown = |(id, method): (MethodId, &'a Method)| {
            let calls: BTreeSet<&String> = method.calls.iter().collect();
            calls.into_iter().filter(|call| self.contract.by_name(call).is_none()).map(move |call| {
                let known = self.methods().map(|(_, method)| &*method.name);
                let hint = did_you_mean(call, known).unwrap_or_default();
                let problem = format!("says that it calls {call:?}, which is no method{hint}");
                self.finding(Rule::UnknownMethod, id, problem, "write it as \"package.Service/Method\"")
            })
        };
        self.methods().flat_map(unknown).collect()
    }

    fn cycles(&self) -> Vec<Finding> {
        let told = |cycle: Vec<MethodId>| {
            let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|id| self.name(*id)).collect();
            let problem = format!("calls itself in the end: {}", names.join(" → "));
            self.finding(Rule::Cycle, cycle[0], problem, "drop one of these calls; no budget is enough for a circle")
        };
        self.graph.cycles().into_iter().map(told).collect()
    }

    fn budgets(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (id, _) in self.methods() {
            let (calls, callers) = (self.graph.calls(id), self.graph.callers(id));
            match self.policy(id).budget {
                None if !callers.is_empty() => {
                    let problem = format!("has no budget, and is called by {}", self.name(callers[0]));
                    findings.push(self.finding(Rule::NoBudget, id, problem, "declare its budget_ms"));
                }
                None if !calls.is_empty() => {
                    let problem = format!("has no budget for its call of {}", self.name(calls[0]));
                    findings.push(self.finding(Rule::NoBudget, id, problem, "declare its budget_ms"));
                }
                None => {}
                Some(budget) => findings.extend(self.overrun(id, budget, calls)),
            }
        }
        findings
    }

    /// Calls are made one after the other, each with all its attempts inside of one budget.
    fn overrun(&self, id: MethodId, budget: Duration, calls: &[MethodId]) -> Option<Finding> {
        let budgets: Vec<Duration> = calls.iter().filter_map(|call| self.policy(*call).budget).collect();
        let together: Duration = budgets.iter().sum();
        if together < budget || calls.is_empty() {
            return None;
        }
        let problem = format!("has {}, and its calls may take {}", spell(budget), spell(together));
        let least = together.as_millis() + 1;
        let fix =
            format!("raise its budget_ms to at least {least} and what its own work takes, or lower those of its calls");
        let mut finding = self.finding(Rule::Budget, id, problem, fix);
        finding.figures = calls
            .iter()
            .map(|call| (self.name(*call).to_owned(), self.policy(*call).budget.map_or("none".to_owned(), spell)))
            .chain([("together, one after the other".to_owned(), spell(together))])
            .collect();
        Some(finding)
    }

    fn amplification(&self) -> Vec<Finding> {
        let attempts = |id: MethodId| u64::from(attempts(self.policy(id)));
        let told = |path: Vec<MethodId>| {
            let factor: u64 = path.iter().map(|id| attempts(*id)).product();
            let last = path[path.len() - 1];
            let problem = format!("may be called {factor} times for one call, {ATTEMPTS_MAX} at most are allowed");
            let fix = "retry at one place of the path only: lower an attempts_max, or leave the retry out";
            let mut finding = self.finding(Rule::Amplification, last, problem, fix);
            finding.figures =
                path.iter().map(|id| (self.name(*id).to_owned(), format!("× {}", attempts(*id)))).collect();
            finding
        };
        self.graph.heaviest_paths(attempts, ATTEMPTS_MAX).into_iter().map(told).collect()
    }

    fn undeclared(&self, package: &Package) -> Vec<Finding> {
        if package.serves.is_empty() {
            return Vec::new();
        }
        let served = self.methods().filter(|(_, method)| package.serves.contains(method.service()));
        let declared: BTreeSet<&str> = served.flat_map(|(_, method)| &method.calls).map(String::as_str).collect();
        let told = |call: &Call| {
            let services: Vec<&str> = package.serves.iter().map(String::as_str).collect();
            Finding {
                rule: Rule::Undeclared,
                place: Some(Place::Code(call.location.clone())),
                problem: format!(
                    "{} calls {}, which no method of {} names",
                    package.name,
                    call.method,
                    services.join(", ")
                ),
                figures: Vec::new(),
                fix: format!("add `calls: {:?}` to the method that makes the call", call.method),
            }
        };
        package.calls.iter().filter(|call| !declared.contains(call.method.as_str())).map(told).collect()
    }

    /// A service that no package serves is somebody else's, whose code is not here.
    fn unmade(&self, packages: &[Package]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (id, method) in self.methods() {
            let servers: Vec<&Package> =
                packages.iter().filter(|package| package.serves.contains(method.service())).collect();
            let is_made = |name: &str| servers.iter().any(|server| server.calls.iter().any(|call| call.method == name));
            let named: BTreeSet<MethodId> = self.graph.calls(id).iter().copied().collect();
            for call in
                named.into_iter().map(|call| self.name(call)).filter(|name| !servers.is_empty() && !is_made(name))
            {
                let folders: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
                let problem = format!("says that it calls {call}, and nothing in {} does", folders.join(", "));
                let fix = format!("drop `calls: {call:?}`, or make the call");
                findings.push(self.finding(Rule::Unmade, id, problem, fix));
            }
        }
        findings
    }
}

/// How often a method may be called for one call of it.
fn attempts(policy: &MethodPolicy) -> u32 {
    let retry = policy.retry.as_ref().map_or(1, |retry| retry.attempts_max);
    retry.max(policy.hedge.as_ref().map_or(1, |hedge| hedge.attempts_max))
}

fn spell(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests;
