//! A seed is a run: the same one each time, and another than that of other seeds.

use std::process::{Child, Command, Stdio};

/// Starts the run of a seed, which says everything that happens.
fn start(seed: u64) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_seawall-sim"));
    program.args(["--seed", &seed.to_string(), "--log"]).stdout(Stdio::piped()).stderr(Stdio::inherit());
    program.spawn().unwrap()
}

fn lines(run: Child) -> Vec<String> {
    let output = run.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_seed_replays_line_by_line() {
    let (first, second, other) = (start(4711), start(4711), start(4712));
    let (first, second, other) = (lines(first), lines(second), lines(other));
    assert!(first.len() > 500, "nothing happened: {first:?}");
    for (number, (one, two)) in first.iter().zip(&second).enumerate() {
        assert_eq!(one, two, "line {number}");
    }
    assert_eq!(first.len(), second.len());
    assert_ne!(first.last(), other.last(), "the seed decides nothing");
}
