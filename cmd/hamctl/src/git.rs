//! What the git program says about the repository around the working directory.

use std::{io, process::Output, time::Duration};

use release_terminal::CliError;
use tokio::process::Command;

const TIMEOUT: Duration = Duration::from_secs(5);

/// `None` when it is not set or there is no git.
pub(crate) async fn config(key: &str) -> Option<String> {
    let output = git(&["config", "--get", key]).await.ok()?;
    output.status.success().then(|| text(&output.stdout)).filter(|value| !value.is_empty())
}

pub(crate) async fn current_branch() -> Result<String, CliError> {
    let failed = |why: &str| {
        CliError::failed(format!("the current branch is not known: {why}")).hint("name it with --branch")
    };
    let output = git(&["symbolic-ref", "--short", "HEAD"]).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("there is no program 'git'"),
        _ => failed(&error.to_string()),
    })?;
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let message = text(&output.stderr);
    if message.contains("not a symbolic ref") {
        return Err(failed("a commit is checked out, not a branch"));
    }
    Err(failed(message.lines().next().unwrap_or("git failed")))
}

async fn git(arguments: &[&str]) -> io::Result<Output> {
    // Its messages are looked at above, so they have to be in English.
    let mut command = Command::new("git");
    command.args(arguments).env("LC_ALL", "C").stdin(std::process::Stdio::null()).kill_on_drop(true);
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "git did not answer");
    tokio::time::timeout(TIMEOUT, command.output()).await.map_err(|_| timed_out())?
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
