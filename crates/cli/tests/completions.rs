//! What `completions` prints, in the shell that everybody has.

use std::process::Command;

fn script(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-seawall")).args(["completions", shell]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers after these words, of which the last one is begun.
fn offered(words: &str) -> Vec<String> {
    let (before, last) = words.rsplit_once(' ').unwrap();
    let previous = before.rsplit(' ').next().unwrap();
    let ask = format!(
        "COMP_WORDS=({before} '{last}'); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); \
         _cargo_with_seawall cargo '{last}' '{previous}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["--norc", "-c", &format!("{}\n{ask}", script("bash"))]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options_after_cargo_seawall() {
    assert_eq!(offered("cargo seawall tra"), ["trace"]);
    assert_eq!(offered("cargo seawall load --ra"), ["--rate", "--ramp"]);
    assert_eq!(offered("cargo seawall load --output "), ["text", "json"]);
    assert_eq!(offered("cargo seawall contract ch"), ["check"]);
}

#[test]
fn other_shells_get_theirs() {
    assert!(script("zsh").starts_with("#compdef cargo-seawall"));
    let fish = script("fish");
    assert!(fish.contains("complete -c cargo-seawall") && fish.contains("complete -c cargo -n"), "{fish}");
}
