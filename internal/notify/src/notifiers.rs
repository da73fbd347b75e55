//! Which notifications an occasion makes, and who delivers them.

use chrono::{DateTime, Utc};
use release_core::{Intent, Name, Spec, event::Release};
use tracing::info;

use crate::{
    Annotation, DeliveryError, GithubConfig, GrafanaConfig, Notification, People, SetupError, SlackConfig,
    Tag, github, grafana, http,
    slack::{Attachment, Colour, Mute, Post, Recipient, Slack, bold, escape, link, shorten},
};

/// The most characters of a commit message or an error that go into a message.
const MAX_QUOTED: usize = 500;

/// What to notify. Without anything, nothing is notified.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub slack: Option<SlackConfig>,
    /// At most one for each environment.
    pub grafana: Vec<GrafanaConfig>,
    pub github: Option<GithubConfig>,
    pub people: People,
}

/// A release whose commit is on the remote.
#[derive(Debug, Clone, Copy)]
pub struct Released<'a> {
    pub release: &'a Release,
    pub spec: &'a Spec,
    pub at: DateTime<Utc>,
}

/// An accepted release that cannot be executed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    pub release: &'a Release,
    pub reason: &'a str,
}

/// All configured notifiers.
#[derive(Debug)]
pub struct Notifiers {
    http: reqwest::Client,
    slack: Option<(Slack, Mute)>,
    grafana: Vec<GrafanaConfig>,
    github: Option<GithubConfig>,
    people: People,
}

impl Released<'_> {
    /// The release in one line.
    pub fn sentence(&self) -> String {
        let Release { environment, service, artifact_id, actor, .. } = self.release;
        let author = &self.spec.application.author_name;
        format!(
            "Release [{environment}]: {service} ({artifact_id}) by {}, author {author}",
            actor.display_name()
        )
    }
}

impl Notifiers {
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let Config { slack, grafana, github, people } = config;
        let slack = match slack {
            Some(SlackConfig { token, api_url, mute }) => Some((Slack::new(token, api_url)?, mute)),
            None => None,
        };
        Ok(Self { http: http::client()?, slack, grafana, github, people })
    }

    /// What a release makes known, in the order of importance.
    pub fn of_release(&self, released: Released<'_>) -> Vec<Notification> {
        let slack = self.slack.iter().flat_map(|(_, mute)| self.posts(*mute, released));
        let annotation = self.annotation(released).map(Notification::Grafana);
        let tag = self.tag(released).map(Notification::Github);
        slack.map(Notification::Slack).chain(annotation).chain(tag).collect()
    }

    /// That an event failed for good is for its actor; that of an auto-release is the author.
    pub fn of_failure(&self, failed: Failed<'_>) -> Vec<Notification> {
        let Some((_, mute)) = &self.slack else { return Vec::new() };
        let Release { actor, service, environment, artifact_id, intent, .. } = failed.release;
        let is_auto_release = *intent == Intent::AutoRelease;
        if is_auto_release && mute.policy {
            return Vec::new();
        }
        let what = if is_auto_release { "Auto-release" } else { "Release" };
        let title = format!("{what} of {service} to {environment} failed");
        let text = format!("Artifact: {}\n{}", bold(artifact_id.as_str()), quote(failed.reason));
        let attachment = attachment(Colour::Red, title, "", text);
        self.to_person(actor.email(), attachment).map(Notification::Slack).into_iter().collect()
    }

    /// One attempt.
    pub async fn deliver(&self, notification: &Notification) -> Result<(), DeliveryError> {
        match notification {
            Notification::Slack(post) => match &self.slack {
                Some((slack, _)) => slack.post(post).await.map(drop),
                None => Err(not_configured()),
            },
            Notification::Grafana(annotation) => match self.grafana_of(&annotation.environment) {
                Some(config) => grafana::annotate(&self.http, config, annotation).await,
                None => Err(not_configured()),
            },
            Notification::Github(tag) => match &self.github {
                Some(config) => github::set_tag(&self.http, config, tag).await,
                None => Err(not_configured()),
            },
        }
    }

    fn posts(&self, mute: Mute, released: Released<'_>) -> Vec<Post> {
        let Release { environment, service, intent, .. } = released.release;
        let application = &released.spec.application;
        let message = |title| attachment(Colour::Green, title, &application.url, facts(released));
        let title = format!("{service} released to {environment}");
        let channel = Recipient::Channel(format!("#releases-{environment}"));
        let mut posts = vec![Post { to: channel, attachment: message(title.clone()) }];
        let squad = &released.spec.squad;
        if !squad.is_empty() {
            let to = Recipient::ChannelIfAny(format!("#squad-{squad}-releases-{environment}"));
            posts.push(Post { to, attachment: message(title.clone()) });
        }
        let (title, is_muted) = match intent {
            Intent::AutoRelease => (format!("{service} auto-released to {environment}"), mute.policy),
            _ => (title, mute.release_processed),
        };
        if !is_muted {
            posts.extend(self.to_person(&application.author_email, message(title)));
        }
        posts
    }

    fn to_person(&self, email: &str, attachment: Attachment) -> Option<Post> {
        let Some(email) = self.people.company_email(email) else {
            info!(email, "nobody in Slack is known for this address; see --user-mappings");
            return None;
        };
        Some(Post { to: Recipient::Person(email.to_owned()), attachment })
    }

    fn annotation(&self, released: Released<'_>) -> Option<Annotation> {
        let Release { environment, service, artifact_id, .. } = released.release;
        self.grafana_of(environment.as_str())?;
        let application = &released.spec.application;
        Some(Annotation {
            environment: environment.to_string(),
            what: format!("Deployment: {service}"),
            tags: vec!["deployment".to_owned(), service.to_string(), environment.to_string()],
            data: format!(
                "Author: {}\nMessage: {}\nArtifactID: {artifact_id}",
                application.author_name,
                shorten(&application.message, MAX_QUOTED)
            ),
            when: released.at.timestamp(),
        })
    }

    fn tag(&self, released: Released<'_>) -> Option<Tag> {
        self.github.as_ref()?;
        let application = &released.spec.application;
        if !application.provider.eq_ignore_ascii_case("github") || application.sha.is_empty() {
            return None;
        }
        let repository = Name::new(&application.name).ok()?;
        Some(Tag {
            repository: repository.to_string(),
            name: released.release.environment.to_string(),
            sha: application.sha.clone(),
        })
    }

    fn grafana_of(&self, environment: &str) -> Option<&GrafanaConfig> {
        self.grafana.iter().find(|config| config.environment == environment)
    }
}

fn not_configured() -> DeliveryError {
    DeliveryError::NobodyThere("it is not configured any more".to_owned())
}

fn facts(released: Released<'_>) -> String {
    let Release { artifact_id, actor, intent, .. } = released.release;
    let application = &released.spec.application;
    let intent = match intent.detail() {
        "" => intent.kind().to_owned(),
        detail => format!("{} {}", intent.kind(), escape(detail)),
    };
    format!(
        "Artifact: {}\nAuthor: {}\nReleaser: {} ({intent})\n{}",
        link(&application.url, artifact_id.as_str()),
        bold(&application.author_name),
        bold(actor.display_name()),
        quote(&application.message),
    )
}

fn quote(text: &str) -> String {
    let lines = shorten(text.trim(), MAX_QUOTED);
    lines.lines().map(|line| format!("> {}", escape(line))).collect::<Vec<_>>().join("\n")
}

fn attachment(color: Colour, title: String, title_link: &str, text: String) -> Attachment {
    Attachment { color, fallback: title.clone(), title, title_link: title_link.to_owned(), text }
}

mod rollouts;
#[cfg(test)]
mod tests;
