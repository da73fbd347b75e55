//! The daemon's metrics.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::metrics::{encode, gauge, register};

/// All metrics of a daemon. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct DaemonMetrics {
    registry: Registry,
    reports: IntCounterVec,
    attempts_failed: IntCounter,
    waiting: IntGauge,
    watch_restarts: IntCounterVec,
    workloads: IntGauge,
    leader: IntGauge,
}

impl Default for DaemonMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl DaemonMetrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        Self {
            reports: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("daemon_reports_total", "Reports that the server took or refused."),
                    &["type", "outcome"],
                ),
            ),
            attempts_failed: register(
                &registry,
                IntCounter::new("daemon_attempts_failed_total", "Attempts to tell that are tried again."),
            ),
            waiting: gauge(&registry, "daemon_reports_waiting", "Reports that are not delivered yet."),
            watch_restarts: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("daemon_watch_restarts_total", "Watches of the cluster that broke off."),
                    &["kind"],
                ),
            ),
            workloads: gauge(&registry, "daemon_managed_workloads", "Workloads that releases put there."),
            leader: gauge(&registry, "daemon_leader", "1 while this replica watches and tells, else 0."),
            registry,
        }
    }

    /// A report of this type was settled: `delivered` or `refused`.
    pub fn count_report(&self, kind: &str, outcome: &'static str) {
        self.reports.with_label_values(&[kind, outcome]).inc();
    }

    pub fn count_failed_attempt(&self) {
        self.attempts_failed.inc();
    }

    /// Of the kinds that are watched.
    pub fn count_watch_restart(&self, kind: &str) {
        self.watch_restarts.with_label_values(&[kind]).inc();
    }

    pub fn set_waiting(&self, reports: usize) {
        self.waiting.set(i64::try_from(reports).unwrap_or(i64::MAX));
    }

    pub fn set_workloads(&self, workloads: usize) {
        self.workloads.set(i64::try_from(workloads).unwrap_or(i64::MAX));
    }

    pub fn set_leader(&self, is_leader: bool) {
        self.leader.set(is_leader.into());
    }

    /// The text exposition format.
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}
