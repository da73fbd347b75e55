//! Asking the server to release, for `release`, `promote` and `rollback`.

use futures::future::join_all;
use release_api::{
    ReleaseRequest, ReleaseResponse,
    v1::{ReleaseState, ReleaseStatus, Rollout, RolloutState},
};
use release_core::{Intent, Person};
use release_terminal::{CliError, Exit, Line, Progress};
use serde::Serialize;

use crate::{
    args::{Until, WaitArgs},
    context::{Context, committer},
    explain::explain_release,
    follow::{Followed, Target, follow},
    output::Format,
    rollouts,
};

/// One artifact, to one or several environments.
#[derive(Debug)]
pub(crate) struct Order {
    /// The first line of the plain output.
    pub(crate) title: String,
    pub(crate) artifact_id: String,
    pub(crate) intent: Intent,
    pub(crate) environments: Vec<String>,
    /// Of the service; empty for the one named like the environment.
    pub(crate) namespace: String,
}

/// What became of one environment's release, as `--output` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    environment: String,
    artifact_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    release_id: String,
    /// The server's remark when there was nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    status: String,
    /// Only with `--wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ReleaseState>,
    /// Only with `--wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// Only with `--wait=healthy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Rollout>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Tries every environment, whatever happens to the others.
pub(crate) async fn release(
    context: &Context<'_>,
    order: &Order,
    wait: &WaitArgs,
    format: Option<Format>,
) -> Result<Exit, CliError> {
    let report = Report { context, is_plain: format.is_none() };
    report.line(order.title.as_str());
    let mut outcomes = request_all(&report, order).await;
    if let Some(until) = wait.wait {
        let deadline = tokio::time::Instant::now() + wait.wait_timeout;
        // What was there already may not be well.
        let is_waited_for = |outcome: &&mut Outcome| {
            outcome.error.is_none() && (outcome.is_pending() || until == Until::Healthy)
        };
        let waited_for: Vec<&mut Outcome> = outcomes.iter_mut().filter(is_waited_for).collect();
        wait_for(&report, order, waited_for, until, deadline).await;
    }
    if let Some(format) = format {
        format.print(context.printer, &outcomes)?;
    }
    let all_well = outcomes.iter().all(|outcome| outcome.error.is_none());
    Ok(if all_well { Exit::Ok } else { Exit::Failed })
}

async fn request_all(report: &Report<'_>, order: &Order) -> Vec<Outcome> {
    let committer = committer().await;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for environment in &order.environments {
        if outcomes.iter().any(|outcome| outcome.environment == *environment) {
            continue;
        }
        outcomes.push(request(report, order, environment, &committer).await);
    }
    outcomes
}

async fn request(report: &Report<'_>, order: &Order, environment: &str, committer: &Person) -> Outcome {
    let mut outcome = Outcome::new(environment, &order.artifact_id);
    let request = ReleaseRequest {
        service: report.context.service.clone(),
        environment: environment.to_owned(),
        artifact_id: order.artifact_id.clone(),
        committer_name: committer.name().to_owned(),
        committer_email: committer.email().to_owned(),
        intent: order.intent.clone(),
    };
    match report.context.client.release(&request).await {
        Ok(response) => {
            outcome.accept(response);
            report.good(outcome.accepted_sentence());
        }
        Err(error) => report.bad(&mut outcome, &explain_release(error)),
    }
    outcome
}

/// All at once: one that hangs must not take the time of the others.
async fn wait_for(
    report: &Report<'_>,
    order: &Order,
    outcomes: Vec<&mut Outcome>,
    until: Until,
    deadline: tokio::time::Instant,
) {
    let Some(first) = outcomes.first() else { return };
    let progress = Progress::start(report.context.printer, &format!("{}: accepted", first.what()));
    let following = outcomes.iter().map(async |outcome| {
        let (what, target) = (outcome.what(), outcome.target(report.context, order));
        let followed = Followed { what: &what, target, until, deadline };
        follow(&progress, &report.context.client, &followed).await
    });
    let statuses = join_all(following).await;
    drop(progress);
    for (outcome, status) in outcomes.into_iter().zip(statuses) {
        tell(report, outcome, until, status);
    }
}

/// How its release has ended.
fn tell(report: &Report<'_>, outcome: &mut Outcome, until: Until, status: Result<ReleaseStatus, CliError>) {
    let what = outcome.what();
    let status = match status {
        Ok(status) => status,
        Err(error) => return report.bad(outcome, &error),
    };
    outcome.state = Some(status.state);
    if status.state == ReleaseState::Failed {
        let why = status.message.unwrap_or_else(|| "the server does not say why".to_owned());
        return report.bad(outcome, &CliError::failed(format!("{what} failed: {why}")));
    }
    if outcome.is_pending() {
        match &status.commit {
            Some(commit) => report.good(format!("{what} is done (commit {commit})")),
            None => report.good(format!("{what} is done: it ran there already")),
        }
    }
    outcome.commit.clone_from(&status.commit);
    if until == Until::Healthy {
        tell_rollout(report, outcome, &what, status);
    }
}

/// What became of it in the cluster.
fn tell_rollout(report: &Report<'_>, outcome: &mut Outcome, what: &str, status: ReleaseStatus) {
    if let Some(later) = status.superseded_by {
        let sentence = format!("{what} was replaced by a later release, of {later}, before it was healthy");
        return report.bad(outcome, &CliError::failed(sentence));
    }
    let Some(rollout) = status.rollout else {
        let sentence = format!("no daemon tells what becomes of releases to {}", outcome.environment);
        let error =
            CliError::failed(sentence).hint("see to the daemon of that cluster, or use --wait=released");
        return report.bad(outcome, &error);
    };
    let progress = rollouts::progress(&rollout);
    let error = rollout.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    match rollout.state {
        RolloutState::Healthy if rollout.desired == 0 => {
            report.good(format!("{what} is released; nothing of it runs in the cluster"));
        }
        RolloutState::Healthy => report.good(format!("{what} is {progress}")),
        RolloutState::Failed => {
            report.bad(outcome, &CliError::failed(format!("{what} failed in the cluster{error}")));
        }
        RolloutState::Released | RolloutState::Applying | RolloutState::Running => {
            let sentence = format!("{what} is not healthy in time, but {progress}{error}");
            let hint = "it may still get there; look at hamctl status, or wait longer with --wait-timeout";
            report.bad(outcome, &CliError::failed(sentence).hint(hint));
        }
    }
    outcome.rollout = Some(rollout);
}

impl Outcome {
    fn new(environment: &str, artifact_id: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            artifact_id: artifact_id.to_owned(),
            release_id: String::new(),
            status: String::new(),
            state: None,
            commit: None,
            rollout: None,
            error: None,
        }
    }

    fn accept(&mut self, response: ReleaseResponse) {
        self.release_id = response.release_id;
        self.status = response.status;
    }

    fn accepted_sentence(&self) -> String {
        if self.status.is_empty() {
            format!("Release of {} to {} initialized", self.artifact_id, self.environment)
        } else {
            self.status.clone()
        }
    }

    fn what(&self) -> String {
        format!("Release of {} to {}", self.artifact_id, self.environment)
    }

    fn target<'a>(&'a self, context: &'a Context<'_>, order: &'a Order) -> Target<'a> {
        if self.is_pending() {
            return Target::Release { id: &self.release_id };
        }
        Target::Artifact {
            id: &self.artifact_id,
            service: &context.service,
            namespace: &order.namespace,
            environment: &self.environment,
        }
    }

    /// Accepted, with something left to do.
    fn is_pending(&self) -> bool {
        self.error.is_none() && self.status.is_empty()
    }
}

/// The plain output; silent when the result is printed for programs.
struct Report<'a> {
    context: &'a Context<'a>,
    is_plain: bool,
}

impl Report<'_> {
    fn line(&self, line: impl Into<Line>) {
        if self.is_plain {
            self.context.printer.line(line);
        }
    }

    fn good(&self, sentence: String) {
        self.line(Line::new().good("[✓]").plain(' ').plain(sentence));
    }

    fn bad(&self, outcome: &mut Outcome, error: &CliError) {
        let sentence = error.sentence_with_reference();
        self.line(Line::new().bad("[X]").plain(' ').plain(&sentence));
        if self.is_plain {
            self.context.printer.hints(error);
        }
        outcome.error = Some(sentence);
    }
}
