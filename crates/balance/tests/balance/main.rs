//! The balancer as its users see it: over endpoints that are told how to behave, on a clock that is held.

mod behaviour;
mod changes;
mod fake;
mod health;
mod scenario;
