//! `artifact`: what CI calls to record a build and to hand it to the server.

mod build_message;
mod cli;
mod command;
mod push;
mod spec_file;

use std::process::ExitCode;

use clap::Parser as _;
use release_terminal::Printer;

fn main() -> ExitCode {
    let printer = Printer::new();
    let result = command::run(cli::Cli::parse(), &printer);
    release_terminal::run(&printer, result)
}
