//! The subcommands.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use release_terminal::{CliError, Exit, Printer, manual::ManualArgs};
use tokio::runtime::Runtime;

use crate::{
    events::{self, EventsFlags},
    flags::StartFlags,
    start,
};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Accepts releases over HTTP and writes them to the config repository.
#[derive(Parser)]
#[command(name = "server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to stop
    Start(Box<StartFlags>),
    /// Look at accepted events, and retry or drop those that failed for good
    Events(Box<EventsFlags>),
    /// Print the version
    Version,
    #[command(hide = true)]
    Manual(ManualArgs),
}

pub(crate) fn run() -> ExitCode {
    let command = Cli::parse().command;
    let printer = Printer::new();
    let result = match command {
        Command::Start(flags) => on_runtime(async {
            start::run(*flags).await.map_err(|error| CliError::from_chain(error.as_ref()))
        }),
        Command::Events(flags) => on_runtime(events::run(*flags, &printer)),
        Command::Version => {
            printer.line(VERSION);
            Ok(())
        }
        Command::Manual(args) => args.run(Cli::command()).map(drop),
    };
    release_terminal::run(&printer, result.map(|()| Exit::Ok))
}

fn on_runtime(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = Runtime::new()
        .map_err(|error| CliError::failed(format!("the threads of the server cannot be started: {error}")))?;
    let result = runtime.block_on(command);
    // Dropping the runtime would wait for blocking work, such as a git that hangs.
    runtime.shutdown_background();
    result
}
