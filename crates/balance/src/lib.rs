//! Endpoints from discovery, power of two choices over peak-EWMA, outlier ejection.
//!
//! A [`Balance`] is a service over the endpoints of one peer. A [`Discover`] says which there are;
//! each call goes to the less loaded of two, or by a key to the same one ([`Pick`]); endpoints that
//! fail are ejected for a while ([`outlier`]), those that say that they are not serving are left out.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use seawall_balance::{Address, Builder, Config, Plain, Static};
//! use seawall_classify::{Classifier, Direction};
//! use tonic::body::Body;
//! use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let endpoints = ["10.0.0.1:50051", "10.0.0.2:50051"].map(|text| Address::new(text.parse().unwrap()));
//! let peer = Builder::try_new("user", Config::default()).unwrap().build(
//!     Static::new(endpoints),
//!     // In place of a connection to the address.
//!     |_address| Plain(tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) })),
//!     |_path: &str| Classifier::new(Direction::Outbound, false),
//! );
//! peer.clone().oneshot(Request::new(Body::empty())).await.unwrap();
//! assert_eq!(peer.snapshot(std::time::Instant::now()).endpoints.len(), 2);
//! # }
//! ```
//!
//! # Structure
//! Pure, given time and chance: `ewma.rs` and `load.rs` (how busy an endpoint is), `p2c.rs` and
//! `ring.rs` (picking), `subset.rs`, `outlier.rs`. `discover.rs` is where endpoints come from.
//! `balance.rs` is the service, `builder.rs` puts it together, `task.rs` is the task behind it,
//! `health.rs` the watch of an endpoint's health; `member.rs` is an endpoint in a set and a call that
//! it has; `snapshot.rs` and `tell.rs` show what goes on.

mod balance;
mod builder;
mod config;
mod discover;
mod ewma;
mod hash;
mod health;
mod load;
mod member;
pub mod outlier;
pub mod p2c;
pub mod ring;
mod snapshot;
mod subset;
mod sync;
mod task;
mod tell;

pub use balance::{Balance, Endpoint, Plain, ResponseFuture, TimeoutOf};
pub use builder::Builder;
pub use config::{Config, ConfigError, Pick};
pub use discover::{Address, Discover, Dns, DnsConfig, Resolve, Static, SystemResolver, Watched};
pub use ewma::Ewma;
pub use load::Load;
pub use member::Ticket;
pub use outlier::{FailurePercentage, OutlierConfig, SuccessRate};
pub use snapshot::{EndpointSnapshot, Snapshot};
pub use subset::Subset;
