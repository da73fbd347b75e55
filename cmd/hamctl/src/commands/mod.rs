//! One file per command: its flags, and what it does.

pub(crate) mod completion;
pub(crate) mod describe_artifact;
pub(crate) mod describe_release;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod metrics;
pub(crate) mod policy;
pub(crate) mod promote;
pub(crate) mod release;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod whoami;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use release_telemetry::Traces;
use release_terminal::{CliError, Exit, Printer};
use tracing::{Instrument as _, info_span};

use crate::{
    args::{Cli, Command, Describe},
    context::Context,
};

/// Parses the command line, runs the command and reports how it ended.
pub(crate) fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let name = format!("hamctl {}", matches.subcommand_name().unwrap_or_default());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let printer = Printer::new();
    let traces = Traces::from_env("hamctl").unwrap_or_else(|error| {
        printer.warn(error);
        Traces::none()
    });
    traces.set_global();
    let command = info_span!("command", "otel.name" = name);
    let result = block_on(run(&printer, cli).instrument(command));
    drop(traces);
    let result =
        result.unwrap_or_else(|error| Err(CliError::failed(format!("hamctl cannot start: {error}"))));
    release_terminal::run(&printer, result)
}

/// Runs to the end of the future, and no longer: a name look-up that was given
/// up goes on in a thread that would otherwise be waited for.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

async fn run(printer: &Printer, cli: Cli) -> Result<Exit, CliError> {
    let context = || Context::new(printer, &cli.global);
    match &cli.command {
        Command::Promote(args) => promote::run(&context().await?, args).await,
        Command::Release(args) => release::run(&context().await?, args).await,
        Command::Rollback(args) => rollback::run(&context().await?, args).await,
        Command::Status(args) => status::run(&context().await?, args).await,
        Command::Describe(Describe::Release(args)) => describe_release::run(&context().await?, args).await,
        Command::Describe(Describe::Artifact(args)) => describe_artifact::run(&context().await?, args).await,
        Command::Metrics(args) => metrics::run(printer, &cli.global, args).await,
        Command::Policy(policy) => policy::run(&context().await?, policy).await,
        Command::Login(args) => login::run(printer, args).await,
        Command::Logout(args) => logout::run(printer, args).await,
        Command::Whoami(args) => whoami::run(printer, args),
        Command::Completion(args) => completion::run(printer, args),
        Command::Version => {
            printer.line(env!("CARGO_PKG_VERSION"));
            Ok(Exit::Ok)
        }
        Command::Manual(args) => args.run(Cli::command()),
    }
}
