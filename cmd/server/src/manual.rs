//! Holds the operator's manual against what the server has.

use std::time::Duration;

use clap::{Args, Command};
use release_telemetry::{Metrics, metrics::ReleaseLabels};

use crate::{events::EventsFlags, flags::StartFlags};

const MANUAL: &str = include_str!("../../../docs/operations.md");

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

#[test]
fn the_manual_has_every_metric() {
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
    let text = metrics.encode();
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names.len(), 16, "add new metrics here: {names:?}");
    for name in names {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}
