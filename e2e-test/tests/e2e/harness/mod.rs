//! What the tests share. Everything here panics on failure.

mod artifact;
mod daemon;
mod history;
mod http;
mod program;
mod server;
mod wait;
mod working_copy;

pub(crate) use artifact::{Artifact, Content, Files};
pub(crate) use daemon::Daemon;
pub(crate) use history::History;
pub(crate) use http::{Answer, Caller, Order, answer};
pub(crate) use program::{Run, program, run};
pub(crate) use server::{Audience, Server, Setup};
pub(crate) use wait::{LONG, SHORT, until};
pub(crate) use working_copy::WorkingCopy;
