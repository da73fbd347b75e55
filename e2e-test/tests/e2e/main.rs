//! Whole-system tests: the real programs, a real bare repository, real signals.
//!
//! `cargo build --workspace` comes first; `make test` does it. Each test has a server, a
//! remote, directories and a port of its own, so all of them run side by side.

mod harness;

mod bad_input;
mod bad_uploads;
mod crashes;
mod crashes_of_uploads;
mod daemon;
mod deploy;
mod docs;
mod https;
mod identity;
mod login;
mod notifications;
mod outages;
mod rabbitmq;
mod races;
mod reference;
mod rollouts;
mod s3;
mod secrets;
mod shutdown;
mod signing;
mod ssh;
mod traces;
mod walkthrough;
mod webhook;
