//! What reads bytes from outside, and what must hold of it for any bytes.
//!
//! A [`Target`] is a parser behind its public function and takes any bytes. It panics where something
//! that must hold does not. `fuzz/` feeds the targets from libFuzzer, which looks for bytes that lead to
//! new code (`cargo seawall fuzz`); the tests here feed them what was found worth keeping, in
//! `fuzz/corpus`, and that with changes.
//!
//! ```
//! seawall_fuzz::find("timeout").expect("there is one of that name").run(b"250m");
//! ```
//!
//! # Structure
//! `connection.rs` talks to a server; `frames.rs` are frames that pass by, `headers.rs` the headers that we
//! read, `message.rs` the bodies; `contracts.rs` is what contracts and the file of policies say, `settings.rs`
//! the settings, `identities.rs` certificates and tokens, `pages.rs` ids and page tokens.

mod connection;
mod contracts;
mod frames;
mod headers;
mod identities;
mod message;
mod pages;
mod settings;

/// A parser, and what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    name: &'static str,
    run: fn(&[u8]),
}

impl Target {
    /// The name, which is also that of its folder in the corpus.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Parses these bytes.
    ///
    /// # Panics
    /// If something does not hold that must, which is what it is for.
    pub fn run(&self, bytes: &[u8]) {
        (self.run)(bytes);
    }
}

/// All targets, by name.
pub const TARGETS: [Target; 18] = [
    Target { name: "address", run: settings::address },
    Target { name: "certificates", run: identities::certificates },
    Target { name: "claims", run: identities::claims },
    Target { name: "connection", run: connection::connection },
    Target { name: "contract", run: contracts::contract },
    Target { name: "frames", run: frames::frames },
    Target { name: "jwks", run: identities::jwks },
    Target { name: "message", run: message::message },
    Target { name: "page_token", run: pages::page_token },
    Target { name: "policy_file", run: contracts::policy_file },
    Target { name: "propagation", run: headers::propagation },
    Target { name: "pushback", run: headers::pushback },
    Target { name: "request", run: connection::request },
    Target { name: "settings", run: settings::settings },
    Target { name: "spiffe_id", run: identities::spiffe_id },
    Target { name: "timeout", run: headers::timeout },
    Target { name: "token", run: identities::token },
    Target { name: "trace_context", run: headers::trace_context },
];

/// The target of that name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
