//! The release server: accepts releases over HTTP and writes them to the config repository.

mod amqp;
mod artifact_storage;
mod cli;
mod events;
mod flags;
mod http;
mod identity;
mod lifecycle;
#[cfg(test)]
mod manual;
mod notifications;
mod start;
mod tokens;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
