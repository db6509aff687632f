//! The parts of `google/protobuf/descriptor.proto` that we read, with our options in their place.
//!
//! The types of prost have no place for custom options; these have, and nothing else. That the numbers
//! are those of `proto/seawall/auth/v1/auth.proto` is tested in `tests.rs`.

use prost::Message;

use super::{Allow as Alternative, Caller, Rule as Read};
use crate::tls::SpiffeId;

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileDescriptorSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) file: Vec<FileDescriptorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FileDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<ServiceDescriptorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<MethodDescriptorProto>,
    #[prost(message, optional, tag = "3")]
    pub(super) options: Option<Options>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MethodDescriptorProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "4")]
    pub(super) options: Option<Options>,
}

/// `ServiceOptions` and `MethodOptions`, in both of which the rule has the same number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Options {
    #[prost(message, optional, tag = "50622")]
    pub(super) rule: Option<Rule>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rule {
    #[prost(message, repeated, tag = "1")]
    allow: Vec<Allow>,
}

#[derive(Clone, PartialEq, Message)]
struct Allow {
    #[prost(bool, tag = "1")]
    public: bool,
    #[prost(bool, tag = "2")]
    authenticated: bool,
    #[prost(string, repeated, tag = "3")]
    callers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    scopes: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    roles: Vec<String>,
}

impl Rule {
    /// The rule of `name`, a service or a method. One with a mistake allows nothing.
    pub(super) fn read(&self, name: &str, trust_domain: Option<&str>, mistakes: &mut Vec<String>) -> Read {
        if self.allow.is_empty() {
            mistakes.push(format!("{name}: the rule allows nothing; it must have an `allow`"));
        }
        let mut read = Vec::new();
        for allow in &self.allow {
            match allow.read(trust_domain) {
                Ok(alternative) => read.push(alternative),
                Err(wrong) => mistakes.push(format!("{name}: {wrong}")),
            }
        }
        Read(read)
    }
}

impl Allow {
    fn read(&self, trust_domain: Option<&str>) -> Result<Alternative, String> {
        let has_conditions = !(self.callers.is_empty() && self.scopes.is_empty() && self.roles.is_empty());
        match (self.public, self.authenticated, has_conditions) {
            (true, false, false) => Ok(Alternative::Public),
            (false, true, false) => Ok(Alternative::Authenticated),
            (false, false, true) => {
                for word in self.scopes.iter().chain(&self.roles) {
                    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
                        return Err(format!("{word:?} is neither a scope nor a role; neither has spaces in it"));
                    }
                }
                let callers = self.callers.iter().map(|caller| read_caller(caller, trust_domain));
                let callers = callers.collect::<Result<_, _>>()?;
                Ok(Alternative::If { callers, scopes: self.scopes.clone(), roles: self.roles.clone() })
            }
            (false, false, false) => {
                Err("an `allow` must have public, authenticated, callers, scopes or roles".to_owned())
            }
            _ => Err("public and authenticated must each be all that an `allow` has".to_owned()),
        }
    }
}

/// A SPIFFE ID, or a service of the own trust domain.
fn read_caller(text: &str, trust_domain: Option<&str>) -> Result<Caller, String> {
    let wrong = || format!("{text:?} is no caller: it must be such as \"order\" or \"spiffe://shop.example/order\"");
    if text.contains("://") {
        return text.parse().map(Caller::Id).map_err(|_| wrong());
    }
    // Checked by the rules of an ID, whatever the trust domain is.
    let id: SpiffeId = format!("spiffe://a/{text}").parse().map_err(|_| wrong())?;
    let trust_domain = trust_domain.unwrap_or_default().to_owned();
    Ok(Caller::Service { trust_domain, service: id.service().to_owned() })
}
