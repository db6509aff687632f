//! The corpus, played to every target, as it is and with changes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_fuzz::TARGETS;

/// Changed versions of each input.
const CHANGES: u64 = 20;
/// What the corpus may have in the repository.
const CORPUS_BYTES_MAX: usize = 300 * 1024;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// The inputs of a target, in an order that is always the same.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(corpus().join(name))
        .unwrap_or_else(|error| panic!("fuzz/corpus/{name}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The same with a few bytes changed, left out or put in.
fn changed(input: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..4) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            2 => drop(bytes.drain(at..(at + rng.usize(..8)).min(bytes.len()))),
            _ => bytes.insert(at, rng.u8(..)),
        }
    }
    bytes
}

#[test]
fn what_was_found_worth_keeping_and_what_is_like_it_holds() {
    let told = std::panic::take_hook();
    // Some panics are caught, such as those of tasks, and would be missed.
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        told(panic);
    }));
    let (mut bytes, mut runs) = (0, 0);
    for target in TARGETS {
        let inputs = inputs(target.name());
        assert!(!inputs.is_empty(), "fuzz/corpus/{} has nothing", target.name());
        target.run(&[]);
        for (seed, input) in inputs.iter().enumerate() {
            bytes += input.len();
            target.run(input);
            let mut rng = fastrand::Rng::with_seed(seed as u64);
            for _ in 0..CHANGES {
                let changed = changed(input, &mut rng);
                target.run(&changed);
                assert_eq!(PANICS.load(Ordering::SeqCst), 0, "{}: {changed:?}", target.name());
            }
            runs += CHANGES + 1;
        }
        println!("{:<16} {:>4} inputs", target.name(), inputs.len());
    }
    println!("{runs} runs, {bytes} bytes");
    assert!(
        bytes <= CORPUS_BYTES_MAX,
        "the corpus has {bytes} bytes; at most {CORPUS_BYTES_MAX} are for the repository"
    );
}
