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
    let is_old_job = |workload: &&WorkloadStatus| workload.truth == Truth::Unknown && workload.kind == "Job";
    let (jobs, workloads): (Vec<_>, Vec<_>) =
        environment.workloads.iter().filter(is_off).partition(is_old_job);
    let jobs = match jobs.as_slice() {
        [] => None,
        [job] => Some(workload_line(start(), job)),
        jobs => {
            let count = jobs.len();
            Some(
                start()
                    .bad(truth(Truth::Unknown))
                    .plain(format_args!(": {count} jobs, which the config repository does not have")),
            )
        }
    };
    let workloads = workloads.into_iter().map(|workload| workload_line(start(), workload));
    rollout.chain(workloads).chain(jobs).collect()
}

/// `missing: Deployment api: the cluster does not have it`
fn workload_line(start: Line, workload: &WorkloadStatus) -> Line {
    let line = start.bad(truth(workload.truth)).plain(format_args!(": {} {}", workload.kind, workload.name));
    match &workload.difference {
        Some(difference) => line.plain(format_args!(": {difference}")),
        None => line,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_old_jobs_are_one_line() {
        let old = |kind: &str, name: &str| WorkloadStatus {
            kind: kind.into(),
            namespace: "dev".into(),
            name: name.into(),
            truth: Truth::Unknown,
            difference: None,
            artifact_id: "m-1".into(),
            available: 1,
            desired: 1,
            phase: None,
            error: None,
        };
        let shown = |workloads: &[WorkloadStatus]| {
            let environment = EnvironmentStatus {
                workloads: workloads.to_vec(),
                ..EnvironmentStatus::from(release_api::Environment::default())
            };
            lines(&environment, 0).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let jobs = [old("Job", "a-1"), old("Deployment", "b"), old("Job", "a-2")];
        let [deployment, together] = &shown(&jobs)[..] else { panic!("two lines") };
        assert!(deployment.ends_with(": Deployment b"), "{deployment}");
        assert!(together.ends_with(": 2 jobs, which the config repository does not have"), "{together}");
        assert!(shown(&jobs[..1])[0].ends_with(": Job a-1"));
    }
}
