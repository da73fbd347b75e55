//! Runs the `git` program: without prompts, in English, and for a bounded time.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use wait_timeout::ChildExt;

use crate::{GitError, failure::explain};

/// How long what an ended process has printed may take to arrive.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Git<'a> {
    /// Says in errors what was tried.
    pub(crate) action: &'static str,
    pub(crate) directory: &'a Path,
    pub(crate) timeout: Duration,
    pub(crate) environment: &'a [(String, String)],
}

pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Git<'_> {
    /// Runs `git` with these arguments and waits for it to end, whatever its status.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output, GitError> {
        let output = run_for(self.command("git").args(arguments), self.timeout).map_err(GitError::Program)?;
        output.ok_or_else(|| self.timed_out())
    }

    /// As [`Git::run`]; a status other than 0 is an error with what git printed.
    pub(crate) fn check(&self, arguments: &[&str]) -> Result<String, GitError> {
        let output = self.run(arguments)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(GitError::Remote { action: self.action, reason: explain(&output.stderr) })
    }

    pub(crate) fn timed_out(&self) -> GitError {
        GitError::Timeout { action: self.action, seconds: self.timeout.as_secs() }
    }

    /// Starts a program to talk to, as [`Git::run`] starts git.
    pub(crate) fn start<'s>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = &'s OsStr>,
    ) -> Result<Running, GitError> {
        let mut command = self.command(program);
        let command = piped(command.args(arguments)).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::Program)?;
        let stderr = read_in_background(child.stderr.take());
        let watchdog = Watchdog::new(&child, self.timeout);
        Ok(Running { child, stderr, watchdog: Some(watchdog) })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.directory)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE");
        command
    }
}

/// Runs a command to its end; `None` if that took too long, and it was killed with its children.
pub(crate) fn run_for(command: &mut Command, timeout: Duration) -> io::Result<Option<Output>> {
    let mut child = piped(command).stdin(Stdio::null()).spawn()?;
    let stdout = read_in_background(child.stdout.take());
    let stderr = read_in_background(child.stderr.take());
    let Some(status) = child.wait_timeout(timeout)? else {
        kill_with_children(&mut child);
        return Ok(None);
    };
    Ok(Some(Output { status, stdout: rest_of(&stdout), stderr: rest_of(&stderr) }))
}

/// In a group of its own: it can be ended with its children, and an interrupt typed at the
/// server's terminal does not cut a push short.
fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0)
}

/// A process that is talked to. It is ended when it takes too long, and when this is dropped.
pub(crate) struct Running {
    child: Child,
    stderr: Receiver<Vec<u8>>,
    watchdog: Option<Watchdog>,
}

impl Running {
    /// Its standard input and output. To be called once.
    pub(crate) fn pipes(&mut self) -> (ChildStdin, &mut ChildStdout) {
        let input = self.child.stdin.take().expect("it was piped and not taken");
        (input, self.child.stdout.as_mut().expect("it was piped"))
    }

    /// Ends it, and says why talking to it failed.
    pub(crate) fn failure(mut self, git: &Git<'_>, error: &io::Error) -> GitError {
        let took_too_long = self.watchdog.take().is_some_and(Watchdog::disarm);
        kill_with_children(&mut self.child);
        if took_too_long {
            return git.timed_out();
        }
        let said = rest_of(&self.stderr);
        let reason = if said.trim().is_empty() { error.to_string() } else { explain(&said) };
        GitError::Remote { action: git.action, reason }
    }

    /// Lets it finish by itself, in the time that it has left.
    pub(crate) fn finish(mut self) {
        // It may have more to say, and would end if nobody listened.
        let rest = self.child.stdout.take();
        std::thread::spawn(move || rest.map(|mut rest| io::copy(&mut rest, &mut io::sink())));
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.disarm();
        }
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            kill_with_children(&mut self.child);
        }
    }
}

/// Ends a process that takes too long, so that reading from it does not wait for ever.
struct Watchdog {
    is_off: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    fn new(child: &Child, timeout: Duration) -> Self {
        let group = group_of(child);
        let (is_off, off) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let bites = off.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
            if bites {
                kill_group(group);
            }
            bites
        });
        Self { is_off, thread }
    }

    /// Whether it was too late.
    fn disarm(self) -> bool {
        drop(self.is_off);
        self.thread.join().unwrap_or_default()
    }
}

fn read_in_background(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    /// More than git ever has to say; a hook could print without end.
    const LIMIT: u64 = 1 << 20;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(LIMIT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    });
    receiver
}

/// What a process that has ended printed. What it left running, such as the
/// master of a shared ssh connection, may hold its pipes open for ever.
fn rest_of(pipe: &Receiver<Vec<u8>>) -> String {
    String::from_utf8_lossy(&pipe.recv_timeout(GRACE).unwrap_or_default()).into_owned()
}

fn kill_with_children(child: &mut Child) {
    kill_group(group_of(child));
    let _ = child.wait();
}

fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn kill_group(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// A word for the shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The lines in which git says what went wrong, without its general advice.
pub(crate) fn complaint(stderr: &str) -> String {
    const MAX_CHARS: usize = 500;
    let lines: Vec<&str> = stderr
        .lines()
        .map(|line| line.strip_prefix("remote: ").unwrap_or(line))
        .map(|line| line.strip_prefix("fatal: ").unwrap_or(line).trim())
        .filter(|line| {
            !line.is_empty() && !line.starts_with("hint:") && !line.starts_with("Please make sure")
        })
        .filter(|line| *line != "and the repository exists." && !line.starts_with("To "))
        .collect();
    let text = lines.join("; ");
    if text.is_empty() { "git gave no reason".to_owned() } else { text.chars().take(MAX_CHARS).collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn git(directory: &Path, timeout: Duration) -> Git<'_> {
        Git { action: "test", directory, timeout, environment: &[] }
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let git = git(directory.path(), Duration::from_millis(200));
        let result = git.run(&["-c", "alias.hang=!sleep 600 & sleep 600", "hang"]);
        assert!(matches!(result, Err(GitError::Timeout { .. })));
        assert!(started.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn what_a_command_leaves_running_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let git = git(directory.path(), Duration::from_mins(1));
        // In a session of its own, as daemons are; it ends by itself.
        let result = git.run(&["-c", "alias.leave=!setsid sleep 20 &", "leave"]);
        assert!(result.unwrap().status.success());
        assert!(started.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_failure_says_what_git_said() {
        let directory = tempfile::tempdir().unwrap();
        let error = git(directory.path(), Duration::from_mins(1))
            .check(&["clone", "/does/not/exist", "x"])
            .unwrap_err();
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }

    #[test]
    fn advice_and_prefixes_are_left_out_of_a_complaint() {
        let stderr = "remote: no entry today\nTo /x\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\nhint: try again\n";
        assert_eq!(complaint(stderr), "no entry today; Could not read from remote repository.");
    }
}
