//! One attempt against each API, well and ill.

use std::time::Duration;

use release_core::Secret;
use release_notify::{
    Annotation, Config, DeliveryError, GithubConfig, GrafanaConfig, Mute, Notification, Notifiers,
    SlackConfig, Tag,
    slack::{Attachment, Colour, Post, Recipient},
};
use release_testing::fake::{self, Behaviour, Github, Grafana, Slack};

struct Fixture {
    slack: Slack,
    grafana: Grafana,
    github: Github,
    notifiers: Notifiers,
}

impl Fixture {
    async fn start() -> Self {
        let (slack, grafana, github) = (Slack::start().await, Grafana::start().await, Github::start().await);
        let token = Secret::new(fake::TOKEN);
        let notifiers = Notifiers::new(Config {
            slack: Some(SlackConfig {
                token: token.clone(),
                api_url: slack.url().parse().unwrap(),
                mute: Mute::default(),
            }),
            grafana: vec![GrafanaConfig {
                environment: "dev".into(),
                api_key: token.clone(),
                base_url: grafana.url().parse().unwrap(),
            }],
            github: Some(GithubConfig {
                token,
                api_url: github.url().parse().unwrap(),
                owner: Github::OWNER.into(),
            }),
            ..Config::default()
        });
        Self { slack, grafana, github, notifiers: notifiers.unwrap() }
    }

    fn behave(&self, behaviour: Behaviour) {
        self.slack.behave(behaviour);
        self.grafana.behave(behaviour);
        self.github.behave(behaviour);
    }
}

fn post(to: Recipient) -> Notification {
    let attachment = Attachment {
        color: Colour::Green,
        title: "api released to dev".into(),
        title_link: String::new(),
        text: "text".into(),
        fallback: "fallback".into(),
    };
    Notification::Slack(Post { to, attachment })
}

fn annotation() -> Notification {
    Notification::Grafana(Annotation {
        environment: "dev".into(),
        what: "Deployment: api".into(),
        tags: vec!["deployment".into()],
        data: "data".into(),
        when: 1000,
    })
}

fn tag(sha: &str) -> Notification {
    Notification::Github(Tag { repository: "api".into(), name: "dev".into(), sha: sha.into() })
}

#[tokio::test]
async fn requests_are_as_documented() {
    let Fixture { slack, grafana, github, notifiers } = Fixture::start().await;
    for to in [Recipient::Channel("#releases-dev".into()), Recipient::Person("jane@example.com".into())] {
        notifiers.deliver(&post(to)).await.unwrap();
    }
    assert_eq!(slack.recipients(), ["#releases-dev", "jane@example.com"]);
    assert_eq!(slack.messages()[0].attachment["color"], "#73BF69");

    notifiers.deliver(&annotation()).await.unwrap();
    assert_eq!(grafana.annotations()[0]["what"], "Deployment: api");

    // Created, then moved, then where it is already.
    for sha in ["a1", "b2", "b2"] {
        notifiers.deliver(&tag(sha)).await.unwrap();
        assert_eq!(github.tag("api", "dev").as_deref(), Some(sha));
    }
}

#[tokio::test]
async fn what_may_pass_is_told_apart_from_what_cannot() {
    let fixture = Fixture::start().await;
    let all = [post(Recipient::Channel("#releases-dev".into())), annotation(), tag("a1")];
    for (behaviour, wait) in [
        (Behaviour::Fails(500), None),
        (Behaviour::Fails(503), None),
        (Behaviour::Fails(401), None),
        (Behaviour::LimitsRate(30), Some(30)),
        (Behaviour::Resets, None),
    ] {
        fixture.behave(behaviour);
        for notification in &all {
            // Slack has its own codes for a bad token.
            if behaviour == Behaviour::Fails(401) && notification.notifier() == "slack" {
                continue;
            }
            let error = fixture.notifiers.deliver(notification).await.unwrap_err();
            let DeliveryError::Unavailable { reason, retry_after } = &error else { panic!("{error:?}") };
            assert_eq!(*retry_after, wait.map(Duration::from_secs), "{reason}");
            assert!(!format!("{error:?}").contains(fake::TOKEN));
        }
    }
    for behaviour in [Behaviour::Fails(404), Behaviour::Fails(302), Behaviour::Floods] {
        fixture.behave(behaviour);
        for notification in &all {
            let error = fixture.notifiers.deliver(notification).await.unwrap_err();
            assert!(matches!(error, DeliveryError::Refused(_)), "{behaviour:?}: {error:?}");
        }
    }
    assert!(fixture.slack.messages().is_empty() && fixture.grafana.annotations().is_empty());
}

#[tokio::test]
async fn nobody_there_is_no_failure() {
    let fixture = Fixture::start().await;
    fixture.slack.remove_channel("#gone");
    for to in [Recipient::ChannelIfAny("#gone".into()), Recipient::Person("eve@elsewhere.io".into())] {
        let error = fixture.notifiers.deliver(&post(to)).await.unwrap_err();
        assert!(matches!(error, DeliveryError::NobodyThere(_)), "{error:?}");
    }
    let error = fixture.notifiers.deliver(&post(Recipient::Channel("#gone".into()))).await.unwrap_err();
    assert_eq!(error, DeliveryError::Refused("Slack refused chat.postMessage: channel_not_found".into()));
}
