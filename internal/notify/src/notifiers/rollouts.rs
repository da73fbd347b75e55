//! What becomes of releases in their clusters, for Slack.

use release_core::rollout::{ConditionError, ContainerError, JobFailed, PodFailed, Report, Succeeded};

use super::{Notifiers, attachment, quote};
use crate::{
    Notification,
    slack::{Attachment, Colour, Post, Recipient, bold, escape},
};

/// How many errors of one pod or job go into a message.
const MAX_ERRORS: usize = 10;

/// Whom one report concerns, and what they are told.
struct News<'a> {
    environment: &'a str,
    author_email: &'a str,
    squad: &'a str,
    /// The channel to alert; none when empty.
    alert: &'a str,
    attachment: Attachment,
}

impl Notifiers {
    /// What a daemon told; nothing for a state.
    pub fn of_rollout(&self, report: &Report) -> Vec<Notification> {
        let Some(news) = news(report) else { return Vec::new() };
        let Some((_, mute)) = &self.slack else { return Vec::new() };
        if mute.k8s {
            return Vec::new();
        }
        let News { environment, author_email, squad, alert, attachment } = news;
        let author = self.to_person(author_email, attachment.clone());
        let squad = (!squad.is_empty()).then(|| format!("#squad-{squad}-releases-{environment}"));
        let channels = squad.into_iter().chain((!alert.is_empty()).then(|| alert.to_owned()));
        let to_channel =
            |channel| Post { to: Recipient::ChannelIfAny(channel), attachment: attachment.clone() };
        author.into_iter().chain(channels.map(to_channel)).map(Notification::Slack).collect()
    }
}

fn news(report: &Report) -> Option<News<'_>> {
    Some(match report {
        Report::Succeeded(body) => News {
            environment: &body.environment,
            author_email: &body.author_email,
            squad: &body.squad,
            alert: "",
            attachment: succeeded(body),
        },
        Report::PodFailed(body) => News {
            environment: &body.environment,
            author_email: &body.author_email,
            squad: &body.squad,
            alert: &body.alert_squad,
            attachment: pod_failed(body),
        },
        Report::JobFailed(body) => News {
            environment: &body.environment,
            author_email: &body.author_email,
            squad: &body.squad,
            alert: "",
            attachment: job_failed(body),
        },
        Report::State(_) => return None,
    })
}

fn succeeded(report: &Succeeded) -> Attachment {
    let Succeeded {
        name, namespace, resource_type, available_pods, replicas, artifact_id, environment, ..
    } = report;
    let text = format!(
        "Artifact: {}\n{} in namespace {}: {available_pods} of {replicas} available",
        bold(artifact_id),
        escape(resource_type),
        bold(namespace)
    );
    attachment(Colour::Green, format!("{name} runs in {environment}"), "", text)
}

fn pod_failed(report: &PodFailed) -> Attachment {
    let error = |error: &ContainerError| {
        format!("{}: {}\n{}", bold(&error.name), escape(&error.kind), quote(&error.message))
    };
    let errors = report.errors.iter().map(error).collect();
    failed("Pod", &report.pod_name, [&report.environment, &report.namespace, &report.artifact_id], errors)
}

fn job_failed(report: &JobFailed) -> Attachment {
    let error = |error: &ConditionError| format!("{}\n{}", bold(&error.reason), quote(&error.message));
    let errors = report.errors.iter().map(error).collect();
    failed("Job", &report.job_name, [&report.environment, &report.namespace, &report.artifact_id], errors)
}

fn failed(
    kind: &str,
    name: &str,
    [environment, namespace, artifact_id]: [&str; 3],
    mut errors: Vec<String>,
) -> Attachment {
    errors.truncate(MAX_ERRORS);
    let facts = format!("Artifact: {}\nNamespace: {}", bold(artifact_id), bold(namespace));
    let text = [vec![facts], errors].concat().join("\n");
    attachment(Colour::Red, format!("{kind} {name} fails in {environment}"), "", text)
}
