//! `cargo seawall`: runs the services of this workspace, shows what they do, and checks them.
//!
//! Each command is one file here, named as it is typed. What they share: `workspace` and `topology`
//! (which services there are, in which order), `layout` (where things lie), `state` and `lock` (what
//! runs), `supervisor` (keeping it running), `terminal` and `log_line` (how it looks), `tools`
//! (programs that tests and checks need).

mod add;
mod attack;
mod bound;
mod call;
mod checks;
mod ci;
mod compile;
mod completions;
mod conformance;
mod contract;
mod detach;
mod docker;
mod doctor;
mod down;
mod drill;
mod environment;
mod examples;
mod fuzz;
mod git;
mod layout;
mod lint;
mod load;
mod lock;
mod log_line;
mod log_tail;
mod logs;
mod new;
mod outer;
mod ports;
mod ps;
mod report;
mod rm;
mod signals;
mod sim;
mod state;
mod supervisor;
mod template;
mod terminal;
mod test;
mod tls;
mod tools;
mod topology;
mod trace;
mod up;
mod upgrade;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the services of this workspace, shows what they do, and checks them.
#[derive(Debug, Parser)]
#[command(name = "cargo seawall", bin_name = "cargo seawall", version, styles = terminal::HELP)]
#[command(after_help = "\
Start here:
  cargo seawall up          build and start everything; prints calls to try
  cargo seawall trace       what happened in the last calls
  cargo seawall test        all tests, with what they need")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Down(down::Args),
    Ps(ps::Args),
    Logs(logs::Args),
    Trace(trace::Args),
    Call(call::Args),
    Load(load::Args),
    Contract(contract::Args),
    Doctor(doctor::Args),
    Test(test::Args),
    Lint(lint::Args),
    Sim(sim::Args),
    Conformance(conformance::Args),
    Fuzz(fuzz::Args),
    Attack(attack::Args),
    RestartDrill(drill::Args),
    Ci(ci::Args),
    New(new::Args),
    Rm(rm::Args),
    Upgrade(upgrade::Args),
    Add(add::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    ExecBound(bound::Args),
}

fn main() -> ExitCode {
    if let Err(error) = outer::forget() {
        terminal::error(&error);
        return ExitCode::FAILURE;
    }
    // As a cargo subcommand (`cargo seawall up` with this program on PATH) the first argument is our own name.
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "seawall") {
        arguments.remove(1);
    }
    let result = match Cli::parse_from(arguments).command {
        Command::Up(args) => up::run(args),
        Command::Down(args) => down::run(&args),
        Command::Ps(args) => ps::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Call(args) => call::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Contract(args) => contract::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Attack(args) => attack::run(&args),
        Command::RestartDrill(args) => drill::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::New(args) => new::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Add(args) => add::run(args),
        Command::Completions(args) => completions::run(&args),
        Command::ExecBound(args) => bound::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) if terminal::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}
