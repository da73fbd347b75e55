//! Holds the operator's manual against what the daemon has.

use std::collections::BTreeSet;

use clap::{Args, Command};
use release_telemetry::DaemonMetrics;

use crate::flags::StartFlags;

const MANUAL: &str = include_str!("../../../docs/operations.md");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/daemon.json");

#[test]
fn the_manual_has_every_flag_and_variable() {
    let manual = MANUAL.split("\n## `daemon start`").nth(1).expect("a section about the daemon");
    let manual = manual.split("\n## ").next().expect("its text");
    let command = StartFlags::augment_args(Command::new("start"));
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let flag = argument.get_long().map(|name| format!("--{name}"));
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        for name in flag.into_iter().chain(variable) {
            assert!(manual.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
        }
    }
}

/// The name of each metric, whether it has a value yet or not.
fn metrics() -> BTreeSet<String> {
    let metrics = DaemonMetrics::new();
    // Those with labels exist from their first value on.
    metrics.count_report("", "");
    metrics.count_watch_restart("");
    let text = metrics.encode();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_manual_has_every_metric() {
    let names = metrics();
    assert_eq!(names.len(), 6, "add new metrics above: {names:?}");
    for name in names {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let names = metrics();
    for text in [ALERTS, DASHBOARD] {
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let ours: BTreeSet<&str> = words.filter(|word| word.starts_with("daemon_")).collect();
        assert!(ours.len() > 2, "{ours:?}");
        for word in ours {
            assert!(names.contains(word), "{word} is no metric of the daemon");
        }
    }
}
