//! The server under measurement: a real process with a data directory of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use release_api::{ReleaseRequest, v1::ReleaseState};
use release_core::Intent;
use serde_json::Value;

pub(crate) struct Server {
    process: Child,
    pub(crate) started_in: Duration,
    base_url: String,
    token: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(program: &Path, data: &Path, origin: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::create_dir_all(data)?;
        let log = fs::File::create(data.join("server.log"))?;
        let started = Instant::now();
        let process = Command::new(program)
            .args(["start", "--http-port", &port.to_string(), "--data-dir"])
            .arg(data)
            .args(["--config-repo", &url(origin)])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the server cannot be started")?;
        let mut server = Self {
            process,
            started_in: Duration::ZERO,
            base_url: format!("http://127.0.0.1:{port}"),
            token: String::new(),
            http: reqwest::Client::builder().build()?,
        };
        while !server.is_ready().await {
            let log = data.join("server.log");
            ensure!(server.process.try_wait()?.is_none(), "the server ended; see {}", log.display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.started_in = started.elapsed();
        fs::read_to_string(data.join("tokens/hamctl"))?.trim().clone_into(&mut server.token);
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/ready", self.base_url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Asks for a release; gives its id.
    pub(crate) async fn release(
        &self,
        service: &str,
        environment: &str,
        artifact: &str,
    ) -> anyhow::Result<String> {
        let request = ReleaseRequest {
            service: service.to_owned(),
            environment: environment.to_owned(),
            artifact_id: artifact.to_owned(),
            committer_name: "Ada".to_owned(),
            committer_email: "ada@example.com".to_owned(),
            intent: Intent::ReleaseArtifact,
        };
        let url = format!("{}/release", self.base_url);
        let response = self.http.post(url).bearer_auth(&self.token).json(&request).send().await?;
        let body: Value = response.error_for_status()?.json().await?;
        body["releaseId"].as_str().map(str::to_owned).with_context(|| format!("no release: {body}"))
    }

    /// Waits until the release's commit is on the remote, asking at this interval:
    /// often enough to measure what is to be measured, seldom enough not to be the load.
    pub(crate) async fn released(&self, id: &str, interval: Duration) -> anyhow::Result<()> {
        loop {
            let status: release_api::v1::ReleaseStatus = self.get(&format!("/api/v1/releases/{id}")).await?;
            match status.state {
                ReleaseState::Released => return Ok(()),
                state if state.is_final() => bail!("the release ended as {state:?}: {:?}", status.message),
                _ => tokio::time::sleep(interval).await,
            }
        }
    }

    pub(crate) async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = self.http.get(format!("{}{path}", self.base_url)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// The most memory that the process ever had, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// The processor time that the process itself has used, in milliseconds; `git` is not in it.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        const MILLISECONDS_PER_TICK: f64 = 10.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Fields 14 and 15; the second, the name, is in parentheses.
        let fields = stat.rsplit(") ").next().context("no fields")?.split_whitespace().skip(11);
        let ticks: f64 = fields.take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks * MILLISECONDS_PER_TICK)
    }

    /// Ends the server in order, as an operator would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").arg(self.process.id().to_string()).status()?.success());
        ensure!(self.process.wait()?.success(), "the server ended with an error");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn url(origin: &Path) -> String {
    format!("file://{}", origin.display())
}

/// The server program that was built with this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory = this.ancestors().nth(2).context("target directory")?;
    let program = directory.join("server");
    ensure!(program.exists(), "{} is missing: run 'make bench'", program.display());
    Ok(program)
}
