//! Tells the server what happens to releases in a cluster.

mod amqp;
mod cli;
mod delivery;
mod flags;
mod flux;
mod health;
mod http;
mod lanes;
mod lifecycle;
#[cfg(test)]
mod manual;
mod pauses;
mod spool;
mod start;
mod states;
mod target;
#[cfg(test)]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
