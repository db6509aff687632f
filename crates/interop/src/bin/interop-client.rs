//! The process of the interop client: the calls of one case, whose end it prints.

use std::process::ExitCode;

use clap::Parser;
use seawall_client::{Channel, Config};
use seawall_config::Reader;
use seawall_interop::proto::FILE_DESCRIPTOR_SET;
use seawall_interop::{Case, Cases};
use seawall_policy::{Contract, Policies};

/// Makes the calls of one case of gRPC's interop tests. Its options are those of all interop clients.
#[derive(Debug, Parser)]
#[command(version, after_help = "The exit code is 0 if the peer did what the case wants, 1 if it did not.")]
struct Args {
    /// Where the server is
    #[arg(long = "server_host", default_value = "127.0.0.1")]
    server_host: String,
    /// And on which port
    #[arg(long = "server_port", default_value_t = 10000)]
    server_port: u16,
    /// Whether it is called by TLS
    #[arg(long = "use_tls", action = clap::ArgAction::Set, default_value_t = false)]
    use_tls: bool,
    /// The authorities that are trusted then, a PEM file
    #[arg(long = "ca_file", default_value = "")]
    ca_file: String,
    /// Which calls are made
    #[arg(long = "test_case", value_enum, default_value = "large_unary")]
    test_case: Case,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(got) => {
            println!("{got}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error:#}", args.test_case);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<String> {
    let scheme = if args.use_tls { "https" } else { "http" };
    let address = format!("{scheme}://{}:{}", args.server_host, args.server_port);
    let ca = if args.use_tls { args.ca_file.clone() } else { String::new() };
    let mut reader = Reader::new("", "", [("SEAWALL_INTEROP_ADDRESS", address), ("SEAWALL_TLS_CA", ca)]);
    let config = Config::read(&mut reader.section("interop"), "http://127.0.0.1:10000");
    reader.finish()?;
    let policies = Policies::try_new(Contract::try_new(&[FILE_DESCRIPTOR_SET])?, None)?;
    Cases::new(Channel::new("interop", &config, &policies)).run(args.test_case).await
}
