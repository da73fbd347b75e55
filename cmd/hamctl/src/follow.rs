//! `--wait`: following an accepted release until nothing more will happen to it.

use std::time::Duration;

use release_api::v1::{ReleaseState, ReleaseStatus, RolloutState};
use release_client::{Client, ClientError};
use release_terminal::{CliError, Progress};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{args::Until, explain::explain, rollouts};

/// A release usually takes less than a second; a long queue is asked less often.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A server that was started just now has heard of no daemon yet.
const PATIENCE_WITH_DAEMONS: Duration = Duration::from_secs(90);

/// What is followed.
pub(crate) struct Followed<'a> {
    /// `Release of m-1 to dev`
    pub(crate) what: &'a str,
    pub(crate) target: Target<'a>,
    pub(crate) until: Until,
    pub(crate) deadline: Instant,
}

pub(crate) enum Target<'a> {
    /// An accepted release. Old servers give no id.
    Release { id: &'a str },
    /// An artifact that is in the config repository already.
    Artifact { id: &'a str, service: &'a str, namespace: &'a str, environment: &'a str },
}

impl Target<'_> {
    async fn ask(&self, client: &Client) -> Result<ReleaseStatus, ClientError> {
        let (id, service, namespace, environment) = match *self {
            Self::Release { id } => return client.release_status(id).await,
            Self::Artifact { id, service, namespace, environment } => (id, service, namespace, environment),
        };
        let status = client.status_with_rollouts(service, namespace).await?;
        let here = status.environments.into_iter().find(|one| one.environment.name == environment);
        let (tag, rollout) = here.map(|one| (one.environment.tag, one.rollout)).unwrap_or_default();
        let is_current = tag == id;
        Ok(ReleaseStatus {
            release_id: uuid::Uuid::nil(),
            service: service.to_owned(),
            environment: environment.to_owned(),
            artifact_id: id.to_owned(),
            state: ReleaseState::Unchanged,
            queue_position: None,
            commit: None,
            message: None,
            rollout: rollout.filter(|_| is_current),
            superseded_by: (!is_current && !tag.is_empty()).then_some(tag),
        })
    }
}

/// Asks until nothing more will happen that is waited for. A server that is away for a moment
/// is waited for: the release is safe with it. Others may show their progress in the same place.
pub(crate) async fn follow(
    progress: &Progress<'_>,
    client: &Client,
    followed: &Followed<'_>,
) -> Result<ReleaseStatus, CliError> {
    let what = followed.what;
    progress.update(&format!("{what}: accepted"));
    if let Target::Release { id: "" } = followed.target {
        return Err(CliError::failed(format!(
            "{what} was accepted, but the server gave no id to follow it by"
        ))
        .hint("look at hamctl status"));
    }
    let mut last = None;
    let asking = ask_until_done(progress, client, followed, &mut last);
    let asked = timeout_at(followed.deadline, asking).await;
    asked.unwrap_or_else(|_| match last {
        // It is told in the caller's words what is missing.
        Some(status) if status.state.is_final() => Ok(status),
        _ => Err(CliError::failed(format!("{what} was accepted, but is not done in time"))
            .hint("it may still be done; look at hamctl status, or wait longer with --wait-timeout")),
    })
}

async fn ask_until_done(
    progress: &Progress<'_>,
    client: &Client,
    followed: &Followed<'_>,
    last: &mut Option<ReleaseStatus>,
) -> Result<ReleaseStatus, CliError> {
    let what = followed.what;
    let mut pause = FIRST_PAUSE;
    let mut silent_since = None;
    let mut shown = String::new();
    let mut show = |stage: String| {
        if shown != stage {
            progress.update(&format!("{what}: {stage}"));
            shown = stage;
        }
    };
    loop {
        match followed.target.ask(client).await {
            Ok(status) if is_done(&status, followed.until) => return Ok(status),
            Ok(status) => {
                if status.state.is_final() && status.rollout.is_none() {
                    let since: &mut Instant = silent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE_WITH_DAEMONS {
                        return Ok(status);
                    }
                }
                show(stage(&status));
                *last = Some(status);
            }
            Err(error) if is_passing(&error) => show(format!("{error}; still trying")),
            Err(error) => return Err(lost(what, error)),
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn is_done(status: &ReleaseStatus, until: Until) -> bool {
    let is_over = |state| matches!(state, RolloutState::Healthy | RolloutState::Failed);
    status.state.is_final()
        && (until == Until::Released
            || status.state == ReleaseState::Failed
            || status.superseded_by.is_some()
            || status.rollout.as_ref().is_some_and(|rollout| is_over(rollout.state)))
}

fn stage(status: &ReleaseStatus) -> String {
    if let Some(rollout) = &status.rollout {
        let progress = match rollout.state {
            RolloutState::Released if rollout.desired == 0 => {
                "released; the cluster has told of none of its workloads yet".to_owned()
            }
            _ => rollouts::progress(rollout),
        };
        return rollout
            .error
            .as_ref()
            .map_or_else(|| progress.clone(), |error| format!("{progress} ({error})"));
    }
    if status.state.is_final() {
        return "released; no daemon has told of the cluster yet".to_owned();
    }
    let stage = match (status.state, status.queue_position) {
        (ReleaseState::Releasing, _) => "being written to the config repository".to_owned(),
        (_, Some(position)) if position > 0 => format!("queued, {position} in front of it"),
        _ => "queued, next".to_owned(),
    };
    match &status.message {
        Some(message) => format!("{stage} ({message})"),
        None => stage,
    }
}

fn is_passing(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::Interrupted { .. }
    ) || error.status().is_some_and(|status| status >= 500)
}

fn lost(what: &str, error: ClientError) -> CliError {
    let sentence = format!("{what} was accepted, but cannot be followed: {error}");
    let report = explain(error).with_sentence(sentence);
    report.hint("look at hamctl status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_says_how_far_it_is_and_why_it_waits() {
        let cases = [
            (ReleaseState::Queued, Some(3), None, "queued, 3 in front of it"),
            (ReleaseState::Queued, Some(0), None, "queued, next"),
            (ReleaseState::Queued, None, Some("the remote is down"), "queued, next (the remote is down)"),
            (ReleaseState::Releasing, None, None, "being written to the config repository"),
        ];
        for (state, queue_position, message, expected) in cases {
            let status = ReleaseStatus {
                release_id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
                service: "svc".into(),
                environment: "dev".into(),
                artifact_id: "m-1".into(),
                state,
                queue_position,
                commit: None,
                message: message.map(str::to_owned),
                rollout: None,
                superseded_by: None,
            };
            assert_eq!(stage(&status), expected);
        }
    }
}
