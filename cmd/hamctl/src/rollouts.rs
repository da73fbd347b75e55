//! What becomes of releases in their clusters, as people read it.

use release_api::v1::{EnvironmentStatus, Rollout, RolloutState, Truth, WorkloadStatus};
use release_terminal::Line;

use crate::times::local;

pub(crate) fn state(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Released => "released",
        RolloutState::Applying => "applying",
        RolloutState::Running => "running",
        RolloutState::Healthy => "healthy",
        RolloutState::Failed => "failed",
    }
}

pub(crate) fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::InSync => "in sync",
        Truth::Pending => "pending",
        Truth::Drifted => "drifted",
        Truth::Missing => "missing",
        Truth::Unknown => "unknown",
    }
}

/// `running 1/3`
pub(crate) fn progress(rollout: &Rollout) -> String {
    let state = state(rollout.state);
    if rollout.desired == 0 {
        state.to_owned()
    } else {
        format!("{state} {}/{}", rollout.available, rollout.desired)
    }
}

/// What the cluster tells of one environment, each line after `indent`; none where no daemon tells.
pub(crate) fn lines(environment: &EnvironmentStatus, indent: usize) -> Vec<Line> {
    let is_off = |workload: &&WorkloadStatus| !matches!(workload.truth, Truth::InSync | Truth::Pending);
    let start = || Line::new().plain(" ".repeat(indent));
    let rollout = environment.rollout.iter().map(|rollout| {
        let line = line(start(), rollout);
        match environment.last_heard {
            Some(at) => line.dim(format_args!(" (its daemon was last heard of {})", local(at))),
            None => line,
        }
    });
    let workloads = environment.workloads.iter().filter(is_off).map(|workload| {
        let line =
            start().bad(truth(workload.truth)).plain(format_args!(": {} {}", workload.kind, workload.name));
        match &workload.difference {
            Some(difference) => line.plain(format_args!(": {difference}")),
            None => line,
        }
    });
    rollout.chain(workloads).collect()
}

/// `failed 1/3 since 2021-06-23 08:42:22: api: CrashLoopBackOff: no database`
fn line(start: Line, rollout: &Rollout) -> Line {
    let progress = progress(rollout);
    let line = match rollout.state {
        RolloutState::Healthy => start.good(progress),
        RolloutState::Failed => start.bad(progress),
        RolloutState::Released | RolloutState::Applying | RolloutState::Running => start.plain(progress),
    };
    let line = line.dim(format_args!(" since {}", local(rollout.since)));
    match &rollout.error {
        Some(error) => line.plain(format_args!(": {}", first_line(error))),
        None => line,
    }
}

/// An error may be the end of a log; in a table one line has to do.
fn first_line(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() { format!("{first} …") } else { first.to_owned() }
}
