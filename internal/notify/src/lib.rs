//! Tells people and tools what happened: Slack, Grafana and GitHub.
//!
//! [`Notifiers`] says in pure functions which notifications an occasion makes,
//! and delivers one at a time. A [`Notification`] is one effect in one API, holds
//! no secret and can be kept as JSON until it is delivered; keeping it, trying it
//! again and giving it up are the caller's business.
//!
//! Five requests of three APIs are needed. The client crates for them (octocrab,
//! slack-morphism) come with an HTTP stack and a TLS set-up of their own beside
//! reqwest, which is here already; a hundred lines for each API cost less to build
//! and to understand.
//!
//! **How often is it delivered?** Tags on GitHub are set, so once. Slack and
//! Grafana have no keys to recognise a repeated request: when an answer is lost,
//! or the process is killed between their acceptance and our note of it, the
//! message or annotation comes twice.

mod github;
mod grafana;
mod http;
mod notifiers;
mod people;
pub mod slack;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use github::{GithubConfig, Tag};
pub use grafana::{Annotation, GrafanaConfig};
pub use notifiers::{Config, Failed, Notifiers, Released};
pub use people::{People, UserMappings, UserMappingsError};
pub use slack::{Mute, SlackConfig};

/// One effect in one API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Notification {
    Slack(slack::Post),
    Grafana(Annotation),
    Github(Tag),
}

impl Notification {
    /// The notifier's name, as a label: `slack`, `grafana` or `github`.
    pub fn notifier(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::Grafana(_) => "grafana",
            Self::Github(_) => "github",
        }
    }

    /// Notifications of one lane go to the same place: they are delivered one after
    /// the other, and no lane waits for another.
    pub fn lane(&self) -> String {
        match self {
            Self::Grafana(annotation) => format!("grafana/{}", annotation.environment),
            _ => self.notifier().to_owned(),
        }
    }

    /// Tells the notifications of one occasion apart, and is the same when they are made again.
    pub fn key(&self) -> String {
        match self {
            Self::Slack(post) => format!("slack\n{:?}", post.to),
            _ => self.lane(),
        }
    }
}

/// Why a notification was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may work later: not before `retry_after`, where they said so.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// Trying again cannot help.
    #[error("{0}")]
    Refused(String),
    /// There is nobody to tell, and that is fine.
    #[error("{0}")]
    NobodyThere(String),
}

/// The HTTP client could not be built: the machine's certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of the notifications cannot be set up")]
pub struct SetupError(#[from] reqwest::Error);
