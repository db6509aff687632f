//! `cargo seawall`.
fn main() {}
