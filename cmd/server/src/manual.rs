//! Holds the operator's manual against what the server has.

use std::{collections::BTreeSet, time::Duration};

use clap::{Args, Command};
use release_telemetry::{Metrics, metrics::ReleaseLabels};

use crate::{events::EventsFlags, flags::StartFlags};

const MANUAL: &str = include_str!("../../../docs/operations.md");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/server.json");

#[test]
fn the_manual_has_every_flag_and_variable() {
    let commands =
        [StartFlags::augment_args(Command::new("start")), EventsFlags::augment_args(Command::new("events"))];
    for argument in commands.iter().flat_map(Command::get_arguments) {
        let flag = argument.get_long().map(|name| format!("--{name}"));
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        for name in flag.into_iter().chain(variable) {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
        }
    }
}

/// The name of each metric, whether it has a value yet or not.
fn metrics() -> BTreeSet<String> {
    let metrics = Metrics::new();
    // Those with labels exist from their first value on.
    let labels = ReleaseLabels { environment: "", service: "", releaser: "", intent: "", squad: "" };
    metrics.count_release(labels);
    metrics.observe_flow("", "", Duration::ZERO);
    metrics.observe_push("", Duration::ZERO);
    metrics.observe_request("", "", 200, Duration::ZERO);
    metrics.count_notification("", "");
    metrics.add_pending_notifications("", 0);
    metrics.count_refused_login("");
    metrics.set_workloads("", "", 0);
    metrics.set_cluster_state_age("", Duration::ZERO);
    metrics.observe_rollout("", "", Duration::ZERO);
    let text = metrics.encode();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_manual_has_every_metric() {
    let names = metrics();
    assert_eq!(names.len(), 17, "add new metrics above: {names:?}");
    for name in names {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let names = metrics();
    let is_there = |word: &str| {
        let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| word.strip_suffix(suffix));
        names.contains(word) || of_histogram.is_some_and(|name| names.contains(name))
    };
    for text in [ALERTS, DASHBOARD] {
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let ours: BTreeSet<&str> = words.filter(|word| word.starts_with("release_manager_")).collect();
        assert!(ours.len() > 5, "{ours:?}");
        for word in ours {
            assert!(is_there(word), "{word} is no metric of the server");
        }
    }
}
