//! Who may call which method, as the contracts say.

mod descriptor;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use prost::Message as _;

use crate::Identity;
use crate::tls::SpiffeId;
use descriptor::{FileDescriptorProto, FileDescriptorSet};

/// The rules of every method of some contracts.
#[derive(Debug, Default)]
pub struct Rules {
    by_path: HashMap<String, Rule>,
}

/// Who may call a method: whom one of these lets in; without any, nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule(Vec<Allow>);

/// Whom one alternative of a rule lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allow {
    Public,
    Authenticated,
    /// All that is not empty must be met.
    If {
        callers: Vec<Caller>,
        scopes: Vec<String>,
        roles: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    Id(SpiffeId),
    /// A service of the trust domain.
    Service {
        trust_domain: String,
        service: String,
    },
}

/// What is wrong with the rules of the contracts, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} in the rules of the contracts:{}", count(.0.len()), lines(.0))]
pub struct Mistakes(Vec<String>);

fn count(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_owned() } else { format!("{mistakes} mistakes") }
}

fn lines(mistakes: &[String]) -> String {
    mistakes.iter().map(|mistake| format!("\n  - {mistake}")).collect()
}

/// Whether a rule lets a call in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Allowed,
    /// It is not known who makes the call, and that must be.
    Unauthenticated,
    /// Whoever it is, they may not.
    Denied,
}

impl Rules {
    /// Reads the rules of encoded `google.protobuf.FileDescriptorSet`s. A file that is in several sets
    /// counts once. `trust_domain` is where services belong to that are named without one.
    ///
    /// Health is public; reflection, where it is served, is for whoever has shown who they are.
    ///
    /// # Errors
    /// With every rule that is wrong: one that allows nothing, that puts something beside `public` or
    /// `authenticated`, or that names what cannot be.
    pub fn try_new(descriptor_sets: &[&[u8]], trust_domain: Option<&str>) -> Result<Self, Mistakes> {
        let (mut rules, mut mistakes, mut files) = (Self::default(), Vec::new(), BTreeSet::new());
        for set in descriptor_sets {
            let Ok(set) = FileDescriptorSet::decode(*set) else {
                mistakes.push("the descriptors are no google.protobuf.FileDescriptorSet".to_owned());
                continue;
            };
            for file in set.file {
                if files.insert(file.name.clone()) {
                    rules.add(&file, trust_domain, &mut mistakes);
                }
            }
        }
        if mistakes.is_empty() { Ok(rules) } else { Err(Mistakes(mistakes)) }
    }

    /// The rule for calls of a path, `/package.Service/Method`.
    pub fn by_path(&self, path: &str) -> &Rule {
        static NOBODY: Rule = Rule(Vec::new());
        self.by_path.get(path).unwrap_or(&NOBODY)
    }

    /// Every method with its rule, by name, `package.Service/Method`.
    pub fn methods(&self) -> Vec<(&str, &Rule)> {
        let mut methods: Vec<_> =
            self.by_path.iter().map(|(path, rule)| (path.trim_start_matches('/'), rule)).collect();
        methods.sort_unstable_by_key(|(method, _)| *method);
        methods
    }

    /// The methods that nobody may call, in order: those without a rule.
    pub fn denied(&self) -> Vec<&str> {
        let methods = self.methods().into_iter();
        methods.filter(|(_, rule)| rule.0.is_empty()).map(|(method, _)| method).collect()
    }

    fn add(&mut self, file: &FileDescriptorProto, trust_domain: Option<&str>, mistakes: &mut Vec<String>) {
        let package = if file.package.is_empty() { String::new() } else { format!("{}.", file.package) };
        for service in &file.service {
            let name = format!("{package}{}", service.name);
            let declared = service.options.as_ref().and_then(|options| options.rule.as_ref());
            let builtin = builtin(&name);
            let of_service = declared.map(|declared| declared.read(&name, trust_domain, mistakes)).unwrap_or_default();
            for method in &service.method {
                let name = format!("{name}/{}", method.name);
                let declared = method.options.as_ref().and_then(|options| options.rule.as_ref());
                let rule = match (&builtin, declared) {
                    (Some(rule), _) => rule.clone(),
                    (None, Some(declared)) => declared.read(&name, trust_domain, mistakes),
                    (None, None) => of_service.clone(),
                };
                self.by_path.insert(format!("/{name}"), rule);
            }
        }
    }
}

/// Of services whose contracts are not ours to write rules into. A probe that is refused would have a
/// process killed; the contracts are for whoever may call at all.
fn builtin(service: &str) -> Option<Rule> {
    match service {
        "grpc.health.v1.Health" => Some(Rule(vec![Allow::Public])),
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
            Some(Rule(vec![Allow::Authenticated]))
        }
        _ => None,
    }
}

impl Rule {
    /// Whether anybody may call, so that it does not matter who does.
    pub fn is_public(&self) -> bool {
        self.0.contains(&Allow::Public)
    }

    /// Judges a call by who makes it.
    pub fn judge(&self, identity: Option<&Identity>) -> Verdict {
        match identity {
            _ if self.is_public() => Verdict::Allowed,
            None => Verdict::Unauthenticated,
            Some(identity) if self.0.iter().any(|allow| allow.lets_in(identity)) => Verdict::Allowed,
            Some(_) => Verdict::Denied,
        }
    }
}

/// Such as `scope users.read, or order with role admin`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, allow) in self.0.iter().enumerate() {
            write!(f, "{}{allow}", if index == 0 { "" } else { ", or " })?;
        }
        if self.0.is_empty() { f.write_str("nobody") } else { Ok(()) }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::If { callers, scopes, roles } = self else {
            return f.write_str(if *self == Self::Public { "anybody" } else { "whoever shows who they are" });
        };
        let callers = callers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let conditions = [("", callers), ("scope ", scopes.join(" and ")), ("role ", roles.join(" or "))];
        let conditions = conditions.iter().filter(|(_, words)| !words.is_empty());
        f.write_str(&conditions.map(|(kind, words)| format!("{kind}{words}")).collect::<Vec<_>>().join(", with "))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Service { service, .. } => f.write_str(service),
        }
    }
}

impl Allow {
    fn lets_in(&self, identity: &Identity) -> bool {
        match self {
            Self::Public | Self::Authenticated => true,
            Self::If { callers, scopes, roles } => {
                let is_caller = |service: &SpiffeId| callers.iter().any(|caller| caller.is(service));
                (callers.is_empty() || identity.service().is_some_and(is_caller))
                    && scopes.iter().all(|scope| identity.scopes().contains(scope))
                    && (roles.is_empty() || roles.iter().any(|role| identity.roles().contains(role)))
            }
        }
    }
}

impl Caller {
    fn is(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Id(known) => known == id,
            Self::Service { trust_domain, service } => id.trust_domain() == trust_domain && id.service() == service,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
