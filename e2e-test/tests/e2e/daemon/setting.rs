//! A daemon with what is around it.

use std::time::Duration;

use release_testing::{
    fake::{ReleaseServer, Report},
    kubernetes::{Kubernetes, Verb, objects},
};
use tempfile::TempDir;

use crate::harness::{Daemon, LONG, until};

pub(super) struct Setting {
    pub(super) kubernetes: Kubernetes,
    pub(super) server: ReleaseServer,
    pub(super) daemon: Daemon,
    _directory: TempDir,
}

impl Setting {
    /// With a daemon that has looked at everything in this cluster once, and watches.
    pub(super) async fn with(kubernetes: Kubernetes) -> Self {
        let setting = Self::begin(kubernetes).await;
        setting.watches().await;
        setting
    }

    /// With a daemon that has just been started.
    pub(super) async fn begin(kubernetes: Kubernetes) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = ReleaseServer::start().await;
        let kubeconfig = Kubernetes::write_kubeconfig(directory.path(), &kubernetes.url());
        let daemon = Daemon::start(&kubeconfig, &server.url(), &[]);
        Self { kubernetes, server, daemon, _directory: directory }
    }

    pub(super) async fn watches(&self) {
        for plural in ["deployments", "statefulsets", "daemonsets", "jobs", "pods"] {
            self.kubernetes.wait_for_requests(Verb::Watch, plural, 1).await;
        }
    }

    /// A deployment of one replica whose rollout ends now.
    pub(super) fn roll_out(&self, name: &str, artifact_id: &str) {
        if self.kubernetes.get("Deployment", "dev", name).is_none() {
            self.kubernetes.put(objects::deployment("dev", name, artifact_id, 1));
        } else {
            self.kubernetes.update("Deployment", "dev", name, |object| objects::release(object, artifact_id));
        }
        self.kubernetes.update("Deployment", "dev", name, |object| objects::roll_out(object, 1));
    }

    /// Which artifact the cluster says was told.
    pub(super) fn observed(&self, kind: &str, name: &str) -> Option<String> {
        let object = self.kubernetes.get(kind, "dev", name)?;
        object["metadata"]["annotations"]["lunarway.com/observed-artifact-id"].as_str().map(str::to_owned)
    }

    pub(super) async fn is_observed(&self, kind: &str, name: &str, artifact_id: &str) {
        until("the cluster says what was told", LONG, async || {
            (self.observed(kind, name).as_deref() == Some(artifact_id)).then_some(())
        })
        .await;
    }

    /// What was told in the end, after one more rollout and one more crash: what comes late would have
    /// come before them.
    pub(super) async fn all_effects(&self) -> Vec<Report> {
        self.roll_out("the-last", "a-last");
        self.kubernetes.put(objects::pod("dev", "the-last-1", "a-last"));
        self.kubernetes.update("Pod", "dev", "the-last-1", |pod| objects::crash(pod, 1));
        until("the last ones are told", LONG, async || {
            let are_told = self.server.effects().into_iter().filter(is_last).count() == 2;
            are_told.then_some(())
        })
        .await;
        self.is_observed("Deployment", "the-last", "a-last").await;
        until("all reports are delivered", LONG, async || {
            (self.daemon.metric("daemon_reports_waiting").await == Some(0)).then_some(())
        })
        .await;
        self.server.effects().into_iter().filter(|report| !is_last(report)).collect()
    }
}

fn is_last(report: &Report) -> bool {
    report.body["artifactId"] == "a-last"
}

/// Their kinds and whom they are about, in order.
pub(super) fn told(reports: &[Report]) -> Vec<String> {
    let text = |report: &Report, field: &str| report.body[field].as_str().map(str::to_owned);
    let about = |report: &Report| {
        let name = ["name", "podName", "jobName"].iter().find_map(|field| text(report, field));
        let artifact_id = text(report, "artifactId").unwrap_or_default();
        format!("{} {} {artifact_id}", report.kind, name.unwrap_or_default())
    };
    reports.iter().map(about).collect()
}

/// Long enough for a daemon to begin with something.
pub(super) const A_WHILE: Duration = Duration::from_millis(300);
