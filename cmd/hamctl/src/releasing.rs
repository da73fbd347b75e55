//! Asking the server to release, for `release`, `promote` and `rollback`.

use release_api::{ReleaseRequest, ReleaseResponse, v1::ReleaseState};
use release_core::{Intent, Person};
use release_terminal::{CliError, Exit, Line};
use serde::Serialize;

use crate::{
    args::WaitArgs,
    context::{Context, committer},
    explain::explain_release,
    follow::follow,
    output::Format,
};

/// One artifact, to one or several environments.
#[derive(Debug)]
pub(crate) struct Order {
    /// The first line of the plain output.
    pub(crate) title: String,
    pub(crate) artifact_id: String,
    pub(crate) intent: Intent,
    pub(crate) environments: Vec<String>,
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
    if wait.wait {
        let deadline = tokio::time::Instant::now() + wait.wait_timeout;
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_pending()) {
            wait_for(&report, outcome, deadline).await;
        }
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

async fn wait_for(report: &Report<'_>, outcome: &mut Outcome, deadline: tokio::time::Instant) {
    let what = format!("Release of {} to {}", outcome.artifact_id, outcome.environment);
    let context = report.context;
    let status = match follow(context.printer, &context.client, &what, &outcome.release_id, deadline).await {
        Ok(status) => status,
        Err(error) => return report.bad(outcome, &error),
    };
    outcome.state = Some(status.state);
    if status.state == ReleaseState::Failed {
        let why = status.message.unwrap_or_else(|| "the server does not say why".to_owned());
        return report.bad(outcome, &CliError::failed(format!("{what} failed: {why}")));
    }
    match &status.commit {
        Some(commit) => report.good(format!("{what} is done (commit {commit})")),
        None => report.good(format!("{what} is done: it ran there already")),
    }
    outcome.commit = status.commit;
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
