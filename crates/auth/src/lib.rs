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
//! `tls.rs` is what a connection is secured by, and who is at its other end.

pub mod tls;
