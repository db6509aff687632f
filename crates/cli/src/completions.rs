//! `cargo seawall completions`: what a shell needs to complete our commands and options.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{Cli, terminal};

/// The program as cargo finds it, by which zsh and fish know ours.
const PROGRAM: &str = "cargo-seawall";
/// By which the functions for bash are called: a name in two parts gets functions that do not find each other.
const BASH_NAME: &str = "seawall";

/// What has bash complete what follows `cargo seawall`, and everything else as before.
const BASH: &str = r#"
declare -F _cargo >/dev/null || { declare -F _completion_loader >/dev/null && _completion_loader cargo; } 2>/dev/null
_cargo_with_seawall() {
    if [[ ${COMP_WORDS[1]} == seawall && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _seawall seawall "$2" "$3"
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}
complete -F _cargo_with_seawall -o bashdefault -o default cargo
"#;

/// The same for fish. In zsh, the completion of cargo itself looks for a function of our name.
const FISH: &str = r#"
function __cargo_seawall_words
    set -l words (commandline -opc)
    complete -C "cargo-seawall "(string join ' ' -- $words[3..] (commandline -ct))
end
complete -c cargo -n '__fish_seen_subcommand_from seawall' -f -a '(__cargo_seawall_words)'
"#;

/// Prints what has a shell complete commands and options after `cargo seawall`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it goes:
  bash  cargo seawall completions bash > ~/.local/share/seawall.bash
        and in ~/.bashrc: source ~/.local/share/seawall.bash
  zsh   cargo seawall completions zsh > _cargo-seawall, in a folder of $fpath; then: compinit
  fish  cargo seawall completions fish > ~/.config/fish/conf.d/cargo-seawall.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Name,
}

/// Shells in which it has been seen to work, or whose way is documented.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (shell, name, more) = match args.shell {
        Name::Bash => (Shell::Bash, BASH_NAME, BASH),
        Name::Zsh => (Shell::Zsh, PROGRAM, ""),
        Name::Fish => (Shell::Fish, PROGRAM, FISH),
    };
    let mut script = Vec::new();
    // Its own name has a space, which is none of a function.
    generate(shell, &mut Cli::command().name(name).bin_name(name), name, &mut script);
    script.extend_from_slice(more.as_bytes());
    terminal::print_lines(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
