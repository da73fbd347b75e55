//! The flags of notifications. Without them, nobody is notified.

use anyhow::Context;
use clap::{Args, builder::BoolishValueParser};
use release_client::{BaseUrlError, Secret, parse_base_url};
use release_notify::{Config, GithubConfig, GrafanaConfig, Mute, People, SlackConfig, UserMappings};
use url::Url;

/// No `Debug`: some of these are secrets.
#[derive(Args)]
pub(crate) struct NotificationFlags {
    /// Token of the Slack bot that tells people about releases
    #[arg(long, env = "SLACK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    slack_token: Option<Secret>,
    /// Where Slack's Web API is
    #[arg(long, default_value = "https://slack.com/api", value_parser = parse_base_url, value_name = "URL")]
    slack_api_url: Url,
    /// The company's e-mail suffix, such as `@example.com`; people in Slack have such an address
    #[arg(long, env = "EMAIL_SUFFIX", value_name = "SUFFIX")]
    email_suffix: Option<String>,
    /// git e-mail addresses and the company addresses of the same people
    #[arg(long, env = "USER_MAPPINGS", value_name = "A@B=C@D,…")]
    user_mappings: Option<UserMappings>,
    /// Don't tell authors of the releases that policies make
    #[arg(
        long, default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    mute_slack_notification_policy: bool,
    /// Don't tell authors that their change was released
    #[arg(
        long, default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    mute_slack_notification_release_processed: bool,
    /// Don't tell anybody what becomes of releases in their clusters
    #[arg(
        long = "mute-slack-notification-k8s", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    mute_slack_notification_k8s: bool,
    // No parser: its error would repeat the text, and there are keys in it.
    /// The Grafana of each environment that gets annotations
    #[arg(long, env = "GRAFANA_ANNOTATIONS", hide_env_values = true, value_name = "ENV=API-KEY=URL,…")]
    grafana_annotations: Option<Secret>,
    /// Token for tags in the source repositories on GitHub
    #[arg(
        long,
        env = "GITHUB_API_TOKEN",
        hide_env_values = true,
        requires = "github_owner",
        value_name = "TOKEN"
    )]
    github_api_token: Option<Secret>,
    /// The organisation on GitHub that has the source repositories
    #[arg(long, env = "GITHUB_OWNER", value_name = "NAME")]
    github_owner: Option<String>,
    /// Where GitHub's API is; `https://<host>/api/v3` for a GitHub Enterprise
    #[arg(long, default_value = "https://api.github.com", value_parser = parse_base_url, value_name = "URL")]
    github_api_url: Url,
}

impl NotificationFlags {
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let slack = |token| SlackConfig {
            token,
            api_url: self.slack_api_url.clone(),
            mute: Mute {
                policy: self.mute_slack_notification_policy,
                release_processed: self.mute_slack_notification_release_processed,
                k8s: self.mute_slack_notification_k8s,
            },
        };
        let github = |token| GithubConfig {
            token,
            api_url: self.github_api_url.clone(),
            owner: self.github_owner.clone().unwrap_or_default(),
        };
        let grafana =
            self.grafana_annotations.as_ref().map_or(Ok(Vec::new()), |list| grafana_list(list.expose()));
        Ok(Config {
            slack: given(self.slack_token.as_ref()).map(slack),
            grafana: grafana.context("--grafana-annotations cannot be used")?,
            github: given(self.github_api_token.as_ref()).map(github),
            people: People {
                email_suffix: self.email_suffix.clone(),
                mappings: self.user_mappings.clone().unwrap_or_default(),
            },
        })
    }
}

/// An empty variable is none.
fn given(token: Option<&Secret>) -> Option<Secret> {
    token.filter(|token| !token.expose().is_empty()).cloned()
}

/// Why a text is no list of Grafanas. There are keys in it, so it is not repeated.
#[derive(Debug, thiserror::Error)]
enum GrafanaListError {
    #[error("entry {0} is not of the form <env>=<api-key>=<url>")]
    Form(usize),
    #[error("the URL of entry {0} {1}")]
    Url(usize, BaseUrlError),
    #[error("entry {0} is for an environment that has one already")]
    Twice(usize),
}

fn grafana_list(text: &str) -> Result<Vec<GrafanaConfig>, GrafanaListError> {
    let mut list: Vec<GrafanaConfig> = Vec::new();
    for (index, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        let number = index + 1;
        let new = grafana(entry, number)?;
        if list.iter().any(|known| known.environment == new.environment) {
            return Err(GrafanaListError::Twice(number));
        }
        list.push(new);
    }
    Ok(list)
}

fn grafana(entry: &str, number: usize) -> Result<GrafanaConfig, GrafanaListError> {
    // Keys may end with `=`.
    let parts =
        entry.split_once('=').and_then(|(environment, rest)| Some((environment, rest.rsplit_once('=')?)));
    match parts {
        Some((environment, (key, url))) if !environment.is_empty() && !key.is_empty() => Ok(GrafanaConfig {
            environment: environment.to_owned(),
            api_key: Secret::new(key),
            base_url: parse_base_url(url).map_err(|error| GrafanaListError::Url(number, error))?,
        }),
        _ => Err(GrafanaListError::Form(number)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        flags: NotificationFlags,
    }

    fn config(arguments: &[&str]) -> Config {
        Flags::parse_from(["start"].iter().chain(arguments)).flags.config().unwrap()
    }

    #[test]
    fn nothing_is_notified_without_tokens() {
        let config = config(&["--slack-token=", "--email-suffix=@x.io"]);
        assert!(config.slack.is_none() && config.grafana.is_empty() && config.github.is_none());
    }

    #[test]
    fn every_flag_arrives() {
        let config = config(&[
            "--slack-token=s",
            "--slack-api-url=http://localhost:1/api",
            "--mute-slack-notification-policy=true",
            "--mute-slack-notification-release-processed=false",
            "--mute-slack-notification-k8s",
            "--github-api-token=g",
            "--github-owner=acme",
            "--grafana-annotations=dev=a=http://y.io,prod=key===https://x.io/grafana",
            "--user-mappings=a@b=c@d",
        ]);
        let slack = config.slack.unwrap();
        assert_eq!(slack.api_url.as_str(), "http://localhost:1/api");
        assert!(slack.mute.policy && !slack.mute.release_processed && slack.mute.k8s);
        let github = config.github.unwrap();
        assert_eq!((github.owner.as_str(), github.api_url.as_str()), ("acme", "https://api.github.com/"));
        let grafana: Vec<_> = config
            .grafana
            .iter()
            .map(|one| (one.environment.as_str(), one.api_key.expose(), one.base_url.as_str()))
            .collect();
        assert_eq!(grafana, [("dev", "a", "http://y.io/"), ("prod", "key==", "https://x.io/grafana")]);
        assert_eq!(config.people.company_email("a@b"), Some("c@d"));
    }

    #[test]
    fn errors_show_no_keys() {
        for text in
            ["dev=hunter2", "dev=hunter2=ftp://x", "dev==http://x", "dev=a=http://x,dev=hunter2=http://x"]
        {
            let error = grafana_list(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
