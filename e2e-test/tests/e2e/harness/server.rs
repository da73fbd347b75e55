//! A real server process.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::{Ipv6Addr, TcpListener},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use release_api::v1::{EventsResponse, ReadyResponse};
use release_client::{Client, ClientConfig, Credentials, Secret, parse_base_url};
use release_testing::origin::Origin;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{LONG, SHORT, program, until};

/// Who calls; each has a token of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Hamctl,
    Artifact,
    Daemon,
}

impl Audience {
    pub(crate) const ALL: [Self; 3] = [Self::Hamctl, Self::Artifact, Self::Daemon];

    fn name(self) -> &'static str {
        match self {
            Self::Hamctl => "hamctl",
            Self::Artifact => "artifact",
            Self::Daemon => "daemon",
        }
    }
}

/// How to start a server.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    pub(crate) flags: &'a [&'a str],
    /// The URL of the config repository, if it is not reached as a file.
    pub(crate) url: Option<&'a str>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Where the server finds programs before it looks anywhere else.
    pub(crate) path: Option<&'a Path>,
    /// The server whose artifacts this one has, too, as servers have that share a bucket.
    pub(crate) artifacts_of: Option<&'a Server>,
}

/// A server on a data directory and port of its own, which both outlive a restart.
///
/// Dropping it kills the process, and shows the end of its log when the test has failed.
pub(crate) struct Server {
    directory: TempDir,
    port: u16,
    command: Command,
    child: Option<Child>,
    pub(crate) http: reqwest::Client,
}

impl Server {
    /// Ready when this returns.
    pub(crate) async fn start(origin: &Origin) -> Self {
        Self::start_with(origin, &Setup::default()).await
    }

    pub(crate) async fn start_with(origin: &Origin, setup: &Setup<'_>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let command = command(directory.path(), port, origin, setup);
        if let Some(other) = setup.artifacts_of {
            let data_dir = directory.path().join("data");
            fs::create_dir(&data_dir).expect("a directory");
            symlink(other.data_dir().join("storage"), data_dir.join("storage")).expect("a link");
        }
        let http = reqwest::Client::builder().no_proxy().timeout(SHORT).build().expect("an HTTP client");
        let mut server = Self { directory, port, command, child: None, http };
        server.restart().await;
        server
    }

    /// Starts the process again and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        let mut problems = Vec::new();
        until("the server is ready", SHORT, async || {
            self.assert_runs();
            let ready = self.ready().await?;
            if ready.problems != problems {
                problems.clone_from(&ready.problems);
                self.note(&format!("/ready: {problems:?}"));
            }
            ready.ready.then_some(())
        })
        .await;
    }

    /// Starts the process again and waits until it works as far as it can, with its remote away.
    pub(crate) async fn restart_without_remote(&mut self) {
        self.spawn();
        until("the server has started", SHORT, async || {
            self.assert_runs();
            let ready = self.ready().await?;
            ready.problems.iter().all(|problem| !problem.contains("starting")).then_some(())
        })
        .await;
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let child = self.command.stderr(self.log_file()).spawn().expect("the server starts");
        fs::write(self.pid_file(), child.id().to_string()).expect("the process id is written");
        self.child = Some(child);
    }

    fn assert_runs(&mut self) {
        let ended = self.child.as_mut().expect("started").try_wait().expect("its status");
        assert!(ended.is_none(), "the server ended by itself: {ended:?}");
    }

    /// Of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        fs::remove_file(self.pid_file()).expect("it was written");
    }

    /// SIGTERM; the status with which the process ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended("the server stops").await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().cast_signed()).expect("a process id");
        kill_process(id, signal).expect("it is ours");
    }

    /// Waits until the process has ended, by itself or because somebody else killed it.
    pub(crate) async fn ended(&mut self, what: &str) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let status = until(what, LONG, async || child.try_wait().expect("its status")).await;
        fs::remove_file(self.pid_file()).expect("it was written");
        status
    }

    /// What `/ready` says; `None` when nobody answers.
    pub(crate) async fn ready(&self) -> Option<ReadyResponse> {
        let response = self.http.get(self.url("/ready")).send().await.ok()?;
        let status = response.status().as_u16();
        let ready: ReadyResponse = response.json().await.ok()?;
        assert_eq!(status, if ready.ready { 200 } else { 503 });
        Some(ready)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The first configured token, or the one that the server generated for want of any.
    pub(crate) fn token(&self, audience: Audience) -> String {
        let variable = format!("{}_AUTH_TOKEN", audience.name().to_uppercase());
        let configured = self.command.get_envs().find(|(name, _)| *name == variable.as_str());
        if let Some((_, Some(token))) = configured {
            let tokens = token.to_str().expect("it is text");
            return tokens.split(',').next().expect("there is a first").to_owned();
        }
        let path = self.data_dir().join("tokens").join(audience.name());
        fs::read_to_string(path).expect("a generated token").trim().to_owned()
    }

    /// Our own client.
    pub(crate) fn client(&self, audience: Audience) -> Client {
        let config = ClientConfig {
            base_url: parse_base_url(&self.url("")).expect("a URL"),
            timeout: SHORT,
            credentials: Credentials::Token(Secret::new(self.token(audience))),
            cli_version: "e2e".to_owned(),
            trace: || None,
        };
        Client::new(config).expect("a client")
    }

    /// Waits until every accepted event is done. None may have failed.
    pub(crate) async fn drained(&self) {
        let client = self.client(Audience::Hamctl);
        until("all accepted releases are done", LONG, async || {
            let EventsResponse { pending, dead } = client.events().await.ok()?;
            assert!(dead.is_empty(), "{dead:#?}");
            pending.is_empty().then_some(())
        })
        .await;
    }

    /// All that the server logged, in all of its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Puts a line into the log, for whoever has to understand a failure.
    pub(crate) fn note(&self, line: &str) {
        writeln!(self.log_file(), "{line}").expect("the log is written");
    }

    /// Holds the process id while the process runs.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log")
    }
}

fn command(directory: &Path, port: u16, origin: &Origin, setup: &Setup<'_>) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = setup.path.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    let url = setup.url.map_or_else(|| origin.url(), str::to_owned);
    let mut command = Command::new(program("server"));
    command
        .args(["start", "--config-repo", &url, "--http-port", &port.to_string()])
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(setup.flags)
        .env_clear()
        .env("PATH", std::env::join_paths(path).expect("directories"))
        .env("HOME", directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(setup.environment.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A port below those that the system gives to outgoing connections, so that it is
/// still free when the server comes back to it.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 100 % u32::from(COUNT)).expect("it is small");
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).is_ok())
        .expect("a port is free")
}

impl Drop for Server {
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

#[expect(clippy::print_stderr, reason = "a failed test shows what its server said")]
fn show_end(log: &str) {
    const LINES: usize = 30;
    let lines: Vec<&str> = log.lines().collect();
    let end = &lines[lines.len().saturating_sub(LINES)..];
    eprintln!("--- the last lines of the server's log\n{}\n---", end.join("\n"));
}
