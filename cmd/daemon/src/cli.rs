//! The subcommands.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use release_terminal::{CliError, Exit, Printer, manual::ManualArgs};
use tokio::runtime::Runtime;

use crate::{flags::StartFlags, start};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
Examples:
  DAEMON_AUTH_TOKEN=… daemon start --environment prod --release-manager-url https://release.example.com
      in a pod, with its service account
  daemon start --environment dev --kubeconfig ~/.kube/config --auth-token …
      from outside of the cluster, to a server on this machine
  AMQP_PASSWORD=… daemon start --environment prod --broker-type amqp --amqp-host rabbitmq --amqp-user daemon
      straight to RabbitMQ";

/// Tells the server what happens to releases in a Kubernetes cluster.
#[derive(Parser)]
#[command(name = "daemon", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch the cluster and tell the server until told to stop
    #[command(after_help = EXAMPLES)]
    Start(Box<StartFlags>),
    /// Print the version
    Version,
    #[command(hide = true)]
    Manual(ManualArgs),
}

pub(crate) fn run() -> ExitCode {
    let command = Cli::parse().command;
    let printer = Printer::new();
    let result = match command {
        Command::Start(flags) => start(*flags),
        Command::Version => {
            printer.line(VERSION);
            Ok(())
        }
        Command::Manual(args) => args.run(Cli::command()).map(drop),
    };
    release_terminal::run(&printer, result.map(|()| Exit::Ok))
}

fn start(flags: StartFlags) -> Result<(), CliError> {
    let runtime = Runtime::new()
        .map_err(|error| CliError::failed(format!("the threads of the daemon cannot be started: {error}")))?;
    let result = runtime.block_on(start::run(flags));
    // Dropping the runtime would wait for blocking work.
    runtime.shutdown_background();
    result.map_err(|error| CliError::from_chain(error.as_ref()))
}
