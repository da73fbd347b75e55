//! Prometheus metrics. Every label has a bounded number of values: most come from
//! this program's own code, and those of releases are capped (see [`Metrics::count_release`]).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// How many combinations of labels `release_manager_releases_total` may have.
const MAX_RELEASE_SERIES: usize = 20_000;
/// What stands for labels beyond that.
const OTHER: &str = "other";

/// All metrics of the server. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    releases: IntCounterVec,
    release_series: Arc<Mutex<HashSet<[String; 5]>>>,
    flow_duration: HistogramVec,
    push_duration: HistogramVec,
    rollout_duration: HistogramVec,
    request_duration: HistogramVec,
    events_pending: IntGauge,
    events_dead: IntGauge,
    batch_size: Histogram,
    remote_up: IntGauge,
    artifact_notifications_up: IntGauge,
    broker_up: IntGauge,
    notifications: IntCounterVec,
    notifications_pending: IntGaugeVec,
    logins_refused: IntCounterVec,
    identity_providers_up: IntGauge,
    workloads: IntGaugeVec,
    cluster_state_age: GaugeVec,
}

/// The labels of one release.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseLabels<'a> {
    pub environment: &'a str,
    pub service: &'a str,
    pub releaser: &'a str,
    pub intent: &'a str,
    pub squad: &'a str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        Self {
            releases: register(&registry, releases()),
            release_series: Arc::default(),
            flow_duration: register(&registry, flow_duration()),
            push_duration: register(&registry, push_duration()),
            rollout_duration: register(&registry, rollout_duration()),
            request_duration: register(&registry, request_duration()),
            events_pending: gauge(
                &registry,
                "release_manager_events_pending",
                "Accepted events that are not done.",
            ),
            events_dead: gauge(
                &registry,
                "release_manager_events_dead",
                "Events that failed for good and wait for an operator.",
            ),
            batch_size: register(&registry, batch_size()),
            remote_up: gauge(
                &registry,
                "release_manager_git_remote_up",
                "1 when the last exchange with the config repository's remote worked, else 0.",
            ),
            artifact_notifications_up: gauge(
                &registry,
                "release_manager_artifact_notifications_up",
                "1 while the server hears of new artifacts in the bucket, else 0.",
            ),
            broker_up: gauge(
                &registry,
                "release_manager_broker_up",
                "1 while the broker takes and gives events, else 0.",
            ),
            notifications: register(&registry, notifications()),
            notifications_pending: register(&registry, notifications_pending()),
            logins_refused: register(&registry, logins_refused()),
            identity_providers_up: gauge(
                &registry,
                "release_manager_identity_providers_up",
                "1 when the keys of all identity providers could be fetched lately, else 0.",
            ),
            workloads: register(&registry, workloads()),
            cluster_state_age: register(&registry, cluster_state_age()),
            registry,
        }
    }

    /// Counts a release whose commit is on the remote.
    ///
    /// Who releases what comes from outside; after 20,000 different combinations
    /// of labels new ones are counted as `other`.
    pub fn count_release(&self, labels: ReleaseLabels<'_>) {
        let ReleaseLabels { environment, service, releaser, intent, squad } = labels;
        let values = [environment, service, releaser, intent, squad];
        let values = if self.has_room_for(values) { values } else { [OTHER; 5] };
        self.releases.with_label_values(&values).inc();
    }

    fn has_room_for(&self, values: [&str; 5]) -> bool {
        let mut known = self.release_series.lock().unwrap_or_else(PoisonError::into_inner);
        let values = values.map(str::to_owned);
        known.contains(&values) || (known.len() < MAX_RELEASE_SERIES && known.insert(values))
    }

    /// How long a use case took and how it ended.
    pub fn observe_flow(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.flow_duration.with_label_values(&[operation, outcome]).observe(took.as_secs_f64());
    }

    /// From the acceptance of a release to its push; not for releases without a change.
    pub fn observe_push(&self, outcome: &'static str, took: Duration) {
        self.push_duration.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    /// From a release's commit to what a daemon told of it first.
    pub fn observe_rollout(&self, environment: &str, outcome: &'static str, took: Duration) {
        self.rollout_duration.with_label_values(&[environment, outcome]).observe(took.as_secs_f64());
    }

    /// One HTTP request; `path` is the route's template, never the path that was asked for.
    pub fn observe_request(&self, path: &str, method: &str, status_code: u16, took: Duration) {
        self.request_duration
            .with_label_values(&[path, method, &status_code.to_string()])
            .observe(took.as_secs_f64());
    }

    /// How many events wait, and how many failed for good.
    pub fn set_events(&self, pending: usize, dead: usize) {
        self.events_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.events_dead.set(i64::try_from(dead).unwrap_or(i64::MAX));
    }

    /// How many changes went to the remote in one push.
    #[allow(clippy::cast_precision_loss)] // a batch is far below 2^52
    pub fn observe_batch(&self, changes: usize) {
        self.batch_size.observe(changes as f64);
    }

    /// Whether the last exchange with the remote worked.
    pub fn set_remote_up(&self, up: bool) {
        self.remote_up.set(i64::from(up));
    }

    /// Whether the server hears of what is stored in the bucket.
    pub fn set_artifact_notifications_up(&self, up: bool) {
        self.artifact_notifications_up.set(i64::from(up));
    }

    /// Whether the broker takes and gives events.
    pub fn set_broker_up(&self, up: bool) {
        self.broker_up.set(i64::from(up));
    }

    /// What became of a notification, or of one attempt (`retried`).
    pub fn count_notification(&self, notifier: &'static str, outcome: &'static str) {
        self.notifications.with_label_values(&[notifier, outcome]).inc();
    }

    /// More (or, below zero, fewer) notifications wait.
    pub fn add_pending_notifications(&self, notifier: &'static str, change: i64) {
        self.notifications_pending.with_label_values(&[notifier]).add(change);
    }

    /// A request without a token that is good for it.
    pub fn count_refused_login(&self, reason: &'static str) {
        self.logins_refused.with_label_values(&[reason]).inc();
    }

    /// Whether the keys of all identity providers could be fetched.
    pub fn set_identity_providers_up(&self, up: bool) {
        self.identity_providers_up.set(i64::from(up));
    }

    /// How many workloads of a cluster compare in this way with the config repository.
    pub fn set_workloads(&self, environment: &str, truth: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.workloads.with_label_values(&[environment, truth]).set(count);
    }

    /// How long ago the daemon of an environment was heard of.
    pub fn set_cluster_state_age(&self, environment: &str, age: Duration) {
        self.cluster_state_age.with_label_values(&[environment]).set(age.as_secs_f64());
    }

    /// The text exposition format.
    pub fn encode(&self) -> String {
        encode(&self.registry)
    }
}

pub(crate) fn encode(registry: &Registry) -> String {
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("names and labels are checked when registered")
}

pub(crate) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: Result<C, prometheus::Error>,
) -> C {
    let collector = collector.expect("names and labels are valid");
    registry.register(Box::new(collector.clone())).expect("names are unique");
    collector
}

pub(crate) fn gauge(registry: &Registry, name: &str, text: &str) -> IntGauge {
    register(registry, IntGauge::new(name, text))
}

fn releases() -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(
        Opts::new("release_manager_releases_total", "Releases whose commit is on the remote."),
        &["environment", "service", "releaser", "intent", "squad"],
    )
}

fn flow_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new("release_manager_flow_duration_seconds", "How long a use case takes.")
            .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
        &["operation", "outcome"],
    )
}

fn push_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "release_manager_release_push_duration_seconds",
            "From the acceptance of a release to its commit on the remote.",
        )
        .buckets(vec![0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0]),
        &["outcome"],
    )
}

fn rollout_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(
            "release_manager_rollout_duration_seconds",
            "From the commit of a release to the first success or failure that a daemon tells of it.",
        )
        .buckets(vec![5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0]),
        &["environment", "outcome"],
    )
}

fn request_duration() -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new("request_duration_seconds", "How long an HTTP request takes.")
            .buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0]),
        &["path", "method", "status_code"],
    )
}

fn batch_size() -> prometheus::Result<Histogram> {
    Histogram::with_opts(
        HistogramOpts::new("release_manager_git_batch_size", "Changes in one push.")
            .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]),
    )
}

fn notifications() -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(
        Opts::new("release_manager_notifications_total", "What became of notifications."),
        &["notifier", "outcome"],
    )
}

fn notifications_pending() -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(
        Opts::new("release_manager_notifications_pending", "Notifications that are not delivered yet."),
        &["notifier"],
    )
}

fn logins_refused() -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(
        Opts::new("release_manager_logins_refused_total", "Requests without a token that is good for them."),
        &["reason"],
    )
}

fn workloads() -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(
        Opts::new(
            "release_manager_workloads",
            "Workloads of a cluster, by how they compare with the config repository.",
        ),
        &["environment", "truth"],
    )
}

fn cluster_state_age() -> prometheus::Result<GaugeVec> {
    GaugeVec::new(
        Opts::new(
            "release_manager_cluster_state_age_seconds",
            "How long ago the daemon of an environment has told what runs there.",
        ),
        &["environment"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(service: &'a str, releaser: &'a str) -> ReleaseLabels<'a> {
        ReleaseLabels { environment: "dev", service, releaser, intent: "Promote", squad: "aura" }
    }

    #[test]
    fn names_and_labels_are_those_that_dashboards_know() {
        let metrics = Metrics::new();
        metrics.count_release(labels("svc", "jane@example.com"));
        metrics.observe_flow("release", "ok", Duration::from_millis(60));
        metrics.observe_push("ok", Duration::from_secs(3));
        metrics.observe_rollout("dev", "healthy", Duration::from_secs(42));
        metrics.observe_request("/describe/artifact/{service}", "GET", 200, Duration::from_millis(2));
        metrics.set_events(3, 1);
        metrics.observe_batch(7);
        metrics.set_remote_up(true);
        metrics.set_artifact_notifications_up(true);
        metrics.set_broker_up(true);
        metrics.count_notification("slack", "delivered");
        metrics.add_pending_notifications("slack", 2);
        metrics.count_refused_login("expired");
        metrics.set_identity_providers_up(true);
        metrics.set_workloads("dev", "drifted", 3);
        metrics.set_cluster_state_age("dev", Duration::from_millis(1500));

        let text = metrics.encode();
        for line in [
            r#"release_manager_releases_total{environment="dev",intent="Promote",releaser="jane@example.com",service="svc",squad="aura"} 1"#,
            r#"release_manager_flow_duration_seconds_bucket{operation="release",outcome="ok",le="0.05"} 0"#,
            r#"release_manager_flow_duration_seconds_bucket{operation="release",outcome="ok",le="60"} 1"#,
            r#"release_manager_release_push_duration_seconds_bucket{outcome="ok",le="0.25"} 0"#,
            r#"release_manager_release_push_duration_seconds_bucket{outcome="ok",le="120"} 1"#,
            r#"release_manager_rollout_duration_seconds_bucket{environment="dev",outcome="healthy",le="30"} 0"#,
            r#"release_manager_rollout_duration_seconds_bucket{environment="dev",outcome="healthy",le="60"} 1"#,
            r#"request_duration_seconds_count{method="GET",path="/describe/artifact/{service}",status_code="200"} 1"#,
            "release_manager_events_pending 3",
            "release_manager_events_dead 1",
            "release_manager_git_batch_size_sum 7",
            "release_manager_git_remote_up 1",
            "release_manager_artifact_notifications_up 1",
            "release_manager_broker_up 1",
            r#"release_manager_notifications_total{notifier="slack",outcome="delivered"} 1"#,
            r#"release_manager_notifications_pending{notifier="slack"} 2"#,
            r#"release_manager_logins_refused_total{reason="expired"} 1"#,
            "release_manager_identity_providers_up 1",
            r#"release_manager_workloads{environment="dev",truth="drifted"} 3"#,
            r#"release_manager_cluster_state_age_seconds{environment="dev"} 1.5"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn releases_by_ever_new_people_do_not_grow_the_exposition_for_ever() {
        let metrics = Metrics::new();
        for number in 0..MAX_RELEASE_SERIES + 5 {
            metrics.count_release(labels("svc", &number.to_string()));
        }
        metrics.count_release(labels("svc", "0"));
        let text = metrics.encode();
        let series = text.lines().filter(|line| line.starts_with("release_manager_releases_total{"));
        assert_eq!(series.count(), MAX_RELEASE_SERIES + 1);
        assert!(text.contains(r#"service="other",squad="other"} 5"#));
        assert!(text.contains(r#"releaser="0",service="svc",squad="aura"} 2"#));
    }
}
