//! `artifact`: what CI calls to record a build and to hand it to the server.

mod build_message;
mod cli;
mod command;
mod push;
mod spec_file;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use release_telemetry::Traces;
use release_terminal::Printer;
use tracing::info_span;

use cli::Cli;

fn main() -> ExitCode {
    let printer = Printer::new();
    let matches = Cli::command().get_matches();
    let name = format!("artifact {}", matches.subcommand_name().unwrap_or_default());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let traces = Traces::from_env("artifact").unwrap_or_else(|error| {
        printer.warn(error);
        Traces::none()
    });
    traces.set_global();
    let span = info_span!("command", "otel.name" = name);
    let result = span.in_scope(|| command::run(cli, &printer));
    drop((span, traces));
    release_terminal::run(&printer, result)
}
