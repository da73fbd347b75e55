//! A real daemon process.

use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use release_testing::fake::TOKEN;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{LONG, program, until};

/// A daemon with a data directory and a port of its own, which both outlive a restart.
///
/// Dropping it kills the process, and shows the end of its log when the test has failed.
pub(crate) struct Daemon {
    directory: TempDir,
    port: u16,
    command: Command,
    child: Option<Child>,
}

impl Daemon {
    /// Of the environment `dev`. It runs when this returns, and may not have seen anything yet.
    pub(crate) fn start(kubeconfig: &Path, server: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let mut command = Command::new(program("daemon"));
        command
            .args(["start", "--environment=dev", "--release-manager-url", server])
            .arg(format!("--http-port={port}"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(flags)
            .env_clear()
            .env("HOME", directory.path())
            .env("DAEMON_AUTH_TOKEN", TOKEN)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut daemon = Self { directory, port, command, child: None };
        daemon.restart();
        daemon
    }

    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        self.child = Some(self.command.stderr(self.log_file()).spawn().expect("the daemon starts"));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
    }

    /// SIGTERM; the status with which the process ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("it is ours");
        self.ended().await
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the daemon runs");
        let status = until("the daemon ends", LONG, async || child.try_wait().expect("its status")).await;
        self.child = None;
        status
    }

    fn pid(&self) -> Pid {
        let id = self.child.as_ref().expect("the daemon runs").id();
        Pid::from_raw(id.cast_signed()).expect("a process id")
    }

    /// The text of one of its pages, such as `metrics`; `None` while it does not answer.
    pub(crate) async fn page(&self, path: &str) -> Option<String> {
        let http = reqwest::Client::builder().no_proxy().timeout(LONG).build().expect("an HTTP client");
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        http.get(url).send().await.ok()?.text().await.ok()
    }

    /// Waits until it says that nothing is wrong.
    pub(crate) async fn ready(&self) {
        until("the daemon is ready", LONG, async || {
            self.page("ready").await.filter(|text| text.contains(r#""ready":true"#)).map(drop)
        })
        .await;
    }

    /// The value of a metric that has no labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.page("metrics").await?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// The most memory that the process had, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// All that it logged, in all of its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log")
    }
}

/// It is taken again right away, and so late that nobody else wants it.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            show_end(&self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failed test shows what its daemon said")]
fn show_end(log: &str) {
    const LINES: usize = 30;
    let lines: Vec<&str> = log.lines().collect();
    let end = &lines[lines.len().saturating_sub(LINES)..];
    eprintln!("--- the last lines of the daemon's log\n{}\n---", end.join("\n"));
}
