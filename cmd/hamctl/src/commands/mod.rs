//! One file per command: its flags, and what it does.

pub(crate) mod completion;
pub(crate) mod describe_artifact;
pub(crate) mod describe_release;
pub(crate) mod promote;
pub(crate) mod release;
pub(crate) mod rollback;
pub(crate) mod status;

use std::process::ExitCode;

use clap::Parser as _;
use release_terminal::{CliError, Exit, Printer};

use crate::{
    args::{Cli, Command, Describe},
    context::Context,
};

/// Parses the command line, runs the command and reports how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new();
    let result = runtime().and_then(|runtime| runtime.block_on(run(&printer, cli)));
    release_terminal::run(&printer, result)
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::failed(format!("hamctl cannot start: {error}")))
}

async fn run(printer: &Printer, cli: Cli) -> Result<Exit, CliError> {
    let context = || Context::new(printer, &cli.global);
    match &cli.command {
        Command::Promote(args) => promote::run(&context()?, args).await,
        Command::Release(args) => release::run(&context()?, args).await,
        Command::Rollback(args) => rollback::run(&context()?, args).await,
        Command::Status(args) => status::run(&context()?, args).await,
        Command::Describe(Describe::Release(args)) => describe_release::run(&context()?, args).await,
        Command::Describe(Describe::Artifact(args)) => describe_artifact::run(&context()?, args).await,
        Command::Completion(args) => completion::run(printer, args),
        Command::Version => {
            printer.line(env!("CARGO_PKG_VERSION"));
            Ok(Exit::Ok)
        }
    }
}
