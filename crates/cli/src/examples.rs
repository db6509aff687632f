//! The calls to try that `up` prints.
//!
//! A service says them itself, as `examples` of its `[package.metadata.seawall]`; `{user}` in them
//! becomes the address of the service `user`. For services without any there is a call that every
//! server answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::workspace::Service;

/// As many calls are printed at most.
const LINES_MAX: usize = 8;

/// The lines to print for services in start order. `flags` take the place of grpcurl's `-plaintext`, if
/// that is not how to call them.
pub(crate) fn lines(
    services: &[Service],
    addresses: &BTreeMap<String, SocketAddr>,
    flags: Option<&str>,
) -> Vec<String> {
    let own = services.iter().flat_map(|service| &service.metadata.examples);
    let mut lines: Vec<String> = own.filter_map(|example| fill_in(example, addresses)).take(LINES_MAX).collect();
    if lines.is_empty() {
        let health =
            addresses.values().map(|address| format!("grpcurl -plaintext {address} grpc.health.v1.Health/Check"));
        lines.extend(health.take(LINES_MAX));
    }
    if let Some(flags) = flags {
        lines.iter_mut().for_each(|line| *line = line.replace("-plaintext", flags));
    }
    lines
}

/// The example with addresses, unless it needs a service that does not run.
fn fill_in(example: &str, addresses: &BTreeMap<String, SocketAddr>) -> Option<String> {
    let mut line = example.trim().to_owned();
    for (name, address) in addresses {
        line = line.replace(&format!("{{{name}}}"), &address.to_string());
    }
    let misses_one = line.split('{').skip(1).any(|rest| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        !name.is_empty() && rest[name.len()..].starts_with('}')
    });
    (!misses_one).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Metadata;

    fn lines_of(examples: &[&str]) -> Vec<String> {
        lines_with(examples, None)
    }

    fn lines_with(examples: &[&str], flags: Option<&str>) -> Vec<String> {
        let examples = examples.iter().map(|example| (*example).to_owned()).collect();
        let user = Service {
            name: "user".into(),
            manifest: "".into(),
            metadata: Metadata { examples, ..Metadata::default() },
        };
        lines(&[user], &BTreeMap::from([("user".to_owned(), ([127, 0, 0, 1], 50051).into())]), flags)
    }

    #[test]
    fn addresses_are_filled_in_and_json_is_left_alone() {
        let lines = lines_of(&["grpcurl -d '{\"a\":{}}' {user} a.B/C\n"]);
        assert_eq!(lines, ["grpcurl -d '{\"a\":{}}' 127.0.0.1:50051 a.B/C"]);
    }

    #[test]
    fn an_example_that_needs_an_absent_service_is_left_out() {
        assert_eq!(lines_of(&["grpcurl {order} list", "grpcurl {user} list"]), ["grpcurl 127.0.0.1:50051 list"]);
    }

    #[test]
    fn a_call_is_shown_as_it_can_be_made() {
        let lines =
            lines_with(&["A=$(grpcurl -plaintext {user} a.B/C) grpcurl -plaintext {user} a.B/D"], Some("-cacert ca"));
        assert_eq!(lines, ["A=$(grpcurl -cacert ca 127.0.0.1:50051 a.B/C) grpcurl -cacert ca 127.0.0.1:50051 a.B/D"]);
    }

    #[test]
    fn every_service_has_something_to_call() {
        assert_eq!(lines_of(&[]), ["grpcurl -plaintext 127.0.0.1:50051 grpc.health.v1.Health/Check"]);
    }
}
