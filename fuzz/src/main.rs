//! Feeds one target of `crates/fuzz`, named by `SEAWALL_FUZZ_TARGET`, from libFuzzer, whose arguments these
//! are. `cargo seawall fuzz` builds this with the instrumentation that libFuzzer needs, and runs it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use seawall_fuzz::Target;

const VARIABLE: &str = "SEAWALL_FUZZ_TARGET";

fn target() -> &'static Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        seawall_fuzz::find(&name).unwrap_or_else(|| panic!("{VARIABLE}={name:?} names no target"))
    })
}

fuzz_target!(|bytes: &[u8]| target().run(bytes));
