//! `--wait`: following an accepted release until nothing more will happen to it.

use std::time::Duration;

use release_api::v1::{ReleaseState, ReleaseStatus};
use release_client::{Client, ClientError};
use release_terminal::{CliError, Printer, Progress};
use tokio::time::{Instant, sleep, timeout_at};

use crate::explain::explain;

/// A release usually takes less than a second; a long queue is asked less often.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks until the release's state is final. A server that is away for a moment
/// is waited for: the release is safe with it.
pub(crate) async fn follow(
    printer: &Printer,
    client: &Client,
    what: &str,
    release_id: &str,
    deadline: Instant,
) -> Result<ReleaseStatus, CliError> {
    let progress = Progress::start(printer, &format!("{what}: accepted"));
    if release_id.is_empty() {
        return Err(CliError::failed(format!(
            "{what} was accepted, but the server gave no id to follow it by"
        ))
        .hint("look at hamctl status"));
    }
    let asking = ask_until_final(&progress, client, what, release_id);
    timeout_at(deadline, asking).await.unwrap_or_else(|_| {
        Err(CliError::failed(format!("{what} was accepted, but is not done in time"))
            .hint("it may still be done; look at hamctl status, or wait longer with --wait-timeout"))
    })
}

async fn ask_until_final(
    progress: &Progress<'_>,
    client: &Client,
    what: &str,
    release_id: &str,
) -> Result<ReleaseStatus, CliError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match client.release_status(release_id).await {
            Ok(status) if status.state.is_final() => return Ok(status),
            Ok(status) => progress.update(&format!("{what}: {}", stage(&status))),
            Err(error) if is_passing(&error) => {
                progress.update(&format!("{what}: {error}; still trying"));
            }
            Err(error) => return Err(lost(what, error)),
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn stage(status: &ReleaseStatus) -> String {
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
            };
            assert_eq!(stage(&status), expected);
        }
    }
}
