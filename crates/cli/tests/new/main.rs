//! `new`, `rm`, `upgrade` and `add` in a workspace of contracts and manifests, where nothing is built. What they
//! make is built, tested and run by `readme.rs`.

mod add;
mod drift;
mod refused;
mod undone;
mod upgraded;
mod workspace;
