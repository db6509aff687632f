//! Who calls: TLS and identities between services, JWT, rules for methods.
//!
//! ```
//! use seawall_auth::tls::SpiffeId;
//!
//! let user: SpiffeId = "spiffe://shop.example/user".parse()?;
//! assert_eq!(user.trust_domain(), "shop.example");
//! # Ok::<(), seawall_auth::tls::NotSpiffe>(())
//! ```
//!
//! # Structure
//! `tls.rs` is what a connection is secured by, and who is at its other end. `jwt.rs` judges tokens by the
//! keys of `jwks.rs`, `rules.rs` reads from contracts who may call what, `identity.rs` is who calls, and
//! `layer.rs` puts these together around a server's calls.

mod identity;
pub mod jwks;
pub mod jwt;
mod layer;
pub mod rules;
pub mod tls;

pub use identity::Identity;
pub use layer::{Auth, AuthFuture, AuthLayer, Config, Guard, IdentifiedBody, TokenConfig};
