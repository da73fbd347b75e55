//! Slack's Web API. <https://docs.slack.dev/apis/web-api/>

mod text;

use release_core::Secret;
use reqwest::Url;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{DeliveryError, SetupError, http};

pub use text::{bold, escape, link, shorten};

const SLACK: &str = "Slack";

#[derive(Debug, Clone)]
pub struct SlackConfig {
    pub token: Secret,
    /// `https://slack.com/api`
    pub api_url: Url,
    pub mute: Mute,
}

/// Messages that nobody wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mute {
    /// That an auto-release policy released something, or could not.
    pub policy: bool,
    /// That a release has been written to the config repository.
    pub release_processed: bool,
    /// What became of a release in its cluster; also in channels.
    pub k8s: bool,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recipient {
    /// With its `#`.
    Channel(String),
    /// A channel that need not exist.
    ChannelIfAny(String),
    /// Somebody's company e-mail address.
    Person(String),
}

/// The colour of the bar beside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colour {
    #[serde(rename = "#73BF69")]
    Green,
    #[serde(rename = "#FADE2A")]
    Yellow,
    #[serde(rename = "#F2495C")]
    Red,
}

/// What a message looks like. `text` is in Slack's markup, the rest is plain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub color: Colour,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title_link: String,
    pub text: String,
    /// For notifications on a phone.
    pub fallback: String,
}

/// A message to be posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    pub to: Recipient,
    pub attachment: Attachment,
}

/// Where a posted message is, to update it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The channel's id, not its name.
    pub channel: String,
    pub ts: String,
}

/// The client of one workspace. Makes one attempt for each call.
#[derive(Debug, Clone)]
pub struct Slack {
    http: reqwest::Client,
    token: Secret,
    api_url: Url,
}

impl Slack {
    pub fn new(token: Secret, api_url: Url) -> Result<Self, SetupError> {
        Ok(Self { http: http::client()?, token, api_url })
    }

    /// Posts a message; a person is looked up first.
    pub async fn post(&self, post: &Post) -> Result<Posted, DeliveryError> {
        let channel = match &post.to {
            Recipient::Channel(name) | Recipient::ChannelIfAny(name) => name.clone(),
            Recipient::Person(email) => self.user_id(email).await?,
        };
        let body = json!({ "channel": channel, "attachments": [post.attachment] });
        let posted = self.call("chat.postMessage", &body).await;
        posted.map_err(|error| match (&post.to, error) {
            (Recipient::ChannelIfAny(_), DeliveryError::Refused(reason)) => {
                DeliveryError::NobodyThere(reason)
            }
            (_, error) => error,
        })
    }

    /// Changes a message that was posted.
    pub async fn update(&self, posted: &Posted, attachment: &Attachment) -> Result<(), DeliveryError> {
        let body = json!({ "channel": posted.channel, "ts": posted.ts, "attachments": [attachment] });
        self.call::<Posted>("chat.update", &body).await.map(drop)
    }

    async fn user_id(&self, email: &str) -> Result<String, DeliveryError> {
        #[derive(Deserialize)]
        struct Found {
            user: User,
        }
        #[derive(Deserialize)]
        struct User {
            id: String,
        }
        let mut url = self.method("users.lookupByEmail");
        url.query_pairs_mut().append_pair("email", email);
        let found: Found = self.send("users.lookupByEmail", self.http.get(url)).await?;
        Ok(found.user.id)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        body: &serde_json::Value,
    ) -> Result<T, DeliveryError> {
        self.send(method, self.http.post(self.method(method)).json(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, DeliveryError> {
        let answer = http::send(SLACK, request.bearer_auth(self.token.expose())).await?;
        let unreadable = |_| DeliveryError::Refused(http::describe(SLACK, &answer));
        let outcome: Outcome = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        if outcome.ok {
            return serde_json::from_slice(&answer.body).map_err(unreadable);
        }
        Err(refusal(method, &outcome.error))
    }

    fn method(&self, name: &str) -> Url {
        let mut url = self.api_url.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().push(name);
        url
    }
}

/// The part that all answers have.
#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    #[serde(default)]
    error: String,
}

/// Slack answers 200 and an error code to nearly everything.
fn refusal(method: &str, code: &str) -> DeliveryError {
    let reason = format!("Slack refused {method}: {code:.100}");
    match code {
        "ratelimited" | "rate_limited" | "internal_error" | "fatal_error" | "service_unavailable"
        | "request_timeout" | "team_added_to_org"
        // All messages are concerned until somebody gives another token.
        | "not_authed" | "invalid_auth" | "account_inactive" | "token_revoked" | "token_expired" => {
            http::unavailable(reason)
        }
        "users_not_found" => DeliveryError::NobodyThere(reason),
        _ => DeliveryError::Refused(reason),
    }
}
