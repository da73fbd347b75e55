//! Holds the operator's manual against what the daemon has.

use clap::{Args, Command};
use release_telemetry::DaemonMetrics;

use crate::flags::StartFlags;

const MANUAL: &str = include_str!("../../../docs/operations.md");

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

#[test]
fn the_manual_has_every_metric() {
    let metrics = DaemonMetrics::new();
    // Those with labels exist from their first value on.
    metrics.count_report("", "");
    metrics.count_watch_restart("");
    let text = metrics.encode();
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names.len(), 6, "add new metrics here: {names:?}");
    for name in names {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}
