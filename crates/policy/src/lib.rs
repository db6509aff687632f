//! What a method's contract declares, merged with a file, reloaded while running.
//!
//! A [`Contract`] is read from the descriptors of generated code, where the options of
//! `seawall/policy/v1/policy.proto` stand. [`Policies`] has a [`MethodPolicy`] for each of its methods
//! and for all other paths together. A TOML file can override every setting, for all methods, a
//! service or a method:
//!
//! ```toml
//! [default]
//! breaker.kind = "three_state"
//!
//! ["seawall.user.v1.UserService"]
//! budget = "750ms"
//!
//! ["seawall.user.v1.UserService/GetUser"]
//! retry.attempts_max = 2
//! rate.per_second = 500
//! ```
//!
//! | keys | what they are |
//! |---|---|
//! | `budget`, `criticality` | as in the contract; `"sheddable"`, `"default"` or `"critical"` |
//! | `outcomes.CODE` | `"success"`, `"failure"`, `"retryable"` or `"callers_fault"`; those that are retryable are retried, unless `retry.codes` names others |
//! | `retry.attempts_max` and the rest of [`RetryConfig`](seawall_retry::RetryConfig) | 1 is no retry |
//! | `hedge.attempts_max`, `hedge.kind` (`"observed"`, `"fixed"`) and the rest of [`HedgeConfig`](seawall_retry::HedgeConfig) | 1 is no hedge |
//! | `breaker.kind` (`"adaptive"`, `"three_state"`, `"off"`) and the fields of that kind | [`seawall_breaker::Config`] |
//! | `rate.per_second`, `rate.kind` (`"token_bucket"`, `"leaky_bucket"`, `"off"`) and the rest of [`RateConfig`](seawall_limit::RateConfig) | no limit without `rate.per_second` |
//!
//! What is written later in this order holds: the contract's service, its method, the file's
//! `[default]`, its service, its method. What is said of a service or of all methods holds for those
//! that it suits: a retry for those that are idempotent. A method has a retry or a hedge; of both, the
//! one that is written later holds. A setting that has no effect on any method is a mistake.
//!
//! ```
//! use std::time::Duration;
//! use seawall_policy::{Contract, Policies};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let contract = Contract::try_new(&[seawall_proto::FILE_DESCRIPTOR_SET])?;
//! let policies = Policies::try_new(contract, None)?;
//! let get_user = policies.by_path("/seawall.user.v1.UserService/GetUser");
//! assert_eq!(get_user.budget, Some(Duration::from_millis(500)));
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `contract.rs` is the methods and what is declared for them (`contract/descriptor.rs`: as it stands
//! in the descriptors); `file.rs` reads the file, `keys.rs` has every key of it, `settings.rs` merges;
//! `draft.rs` and `finish.rs` make policies of settings (`method_policy.rs`), `table.rs` those of all
//! methods, `policies.rs` replaces them while they are in use and `per_method.rs`
//! what was made of them; `snapshot.rs` shows them. `lint.rs` judges contracts as a whole.

mod config;
mod contract;
mod draft;
mod file;
mod finish;
mod keys;
pub mod lint;
mod method_policy;
mod mistake;
mod per_method;
mod policies;
mod settings;
mod snapshot;
mod table;

pub use config::Config;
pub use contract::{Contract, ContractError, Location, Method, MethodId};
pub use method_policy::MethodPolicy;
pub use mistake::{Mistake, Mistakes};
pub use per_method::PerMethod;
pub use policies::Policies;
pub use seawall_retry::Idempotency;
pub use snapshot::{SettingSnapshot, Snapshot};
pub use table::{Change, Changed};
