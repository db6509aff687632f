//! Seawall's server beside tonic, and beside tonic with the usual crates.
fn main() {}
