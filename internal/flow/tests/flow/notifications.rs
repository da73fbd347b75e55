//! Notifications of releases, with notifiers that are well and ill.

use std::time::Instant;

use futures::{FutureExt as _, future::BoxFuture};
use release_broker::{BrokerError, Counts, DeadMessage};
use release_core::Secret;
use release_notify::{GithubConfig, GrafanaConfig, Mute, SlackConfig};
use release_testing::fake::{self, Behaviour, Github, Grafana, Slack};

use super::*;

pub(super) const QUICK: Retries = Retries {
    min_delay: Duration::from_millis(5),
    max_delay: Duration::from_secs(1),
    give_up_after: Duration::from_hours(1),
};
/// Whom one release tells in Slack.
const TOLD: [&str; 3] = ["#releases-dev", "#squad-aura-releases-dev", "jane@example.com"];

pub(super) struct Fakes {
    pub(super) slack: Slack,
    pub(super) grafana: Grafana,
    pub(super) github: Github,
    pub(super) metrics: Metrics,
}

impl Fakes {
    pub(super) async fn start() -> Self {
        Self {
            slack: Slack::start().await,
            grafana: Grafana::start().await,
            github: Github::start().await,
            metrics: Metrics::new(),
        }
    }

    fn behave(&self, behaviour: Behaviour) {
        self.slack.behave(behaviour);
        self.grafana.behave(behaviour);
        self.github.behave(behaviour);
    }

    pub(super) fn outbox(&self, origin: &Origin, retries: Retries) -> Outbox {
        let token = Secret::new(fake::TOKEN);
        let config = Config {
            slack: Some(SlackConfig {
                token: token.clone(),
                api_url: self.slack.url().parse().unwrap(),
                mute: Mute::default(),
            }),
            grafana: vec![GrafanaConfig {
                environment: "dev".into(),
                api_key: token.clone(),
                base_url: self.grafana.url().parse().unwrap(),
            }],
            github: Some(GithubConfig {
                token,
                api_url: self.github.url().parse().unwrap(),
                owner: Github::OWNER.into(),
            }),
            ..Config::default()
        };
        let broker = Embedded::open(&data(origin).join("notifications.redb")).unwrap();
        Outbox::new(Notifiers::new(config).unwrap(), Arc::new(broker), retries, self.metrics.clone())
    }

    pub(super) async fn fixture(&self, origin: Origin) -> Fixture {
        let outbox = self.outbox(&origin, QUICK);
        let broker = events(&origin);
        Fixture::start_with(origin, broker, outbox).await
    }

    /// Waits until each has heard of that many releases, and then makes sure that none heard more.
    async fn heard_of(&self, releases: usize) {
        let told: Vec<_> = TOLD.iter().cycle().take(releases * TOLD.len()).collect();
        until(|| self.slack.messages().len() >= told.len() && self.grafana.annotations().len() >= releases)
            .await;
        until(|| self.pending() == 0).await;
        assert_eq!(self.slack.recipients(), told.into_iter().copied().collect::<Vec<_>>());
        assert_eq!(self.grafana.annotations().len(), releases);
    }

    pub(super) fn pending(&self) -> i64 {
        self.metric("release_manager_notifications_pending")
    }

    /// The sum over all series that begin like this.
    fn metric(&self, prefix: &str) -> i64 {
        let text = self.metrics.encode();
        let series = text.lines().filter(|line| line.starts_with(prefix));
        series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()).sum()
    }
}

pub(super) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("it happens within a minute");
}

fn artifact(id: &str) -> ArtifactBuilder {
    ArtifactBuilder::new("api", id).squad("aura").provider("GitHub")
}

#[tokio::test]
async fn whatever_the_notifiers_do_releases_go_on_and_all_is_delivered_once_when_they_are_well() {
    let behaviours = [
        Behaviour::Works,
        Behaviour::Fails(500),
        Behaviour::Fails(503),
        Behaviour::LimitsRate(1),
        Behaviour::Hangs,
        Behaviour::Resets,
    ];
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    for id in ["master-1", "master-2"] {
        fixture.upload(&artifact(id)).await;
    }
    let mut releases = 0;
    for behaviour in behaviours {
        let attempts = fakes.slack.attempts();
        fakes.behave(behaviour);
        for id in ["master-1", "master-2"] {
            let status = fixture.release(request("api", "dev", id)).await;
            assert_eq!(status.state, ReleaseState::Released, "{behaviour:?}");
            releases += 1;
        }
        until(|| fakes.slack.attempts() > attempts).await;
        fakes.behave(Behaviour::Works);
        fakes.heard_of(releases).await;
        assert!(fakes.github.tag("api", "dev").is_some());
    }
    assert_eq!(
        fakes.metric(r#"release_manager_notifications_total{notifier="slack",outcome="delivered"}"#),
        36
    );
}

#[tokio::test]
async fn a_rate_limit_is_obeyed() {
    let fakes = Fakes::start().await;
    fakes.slack.behave(Behaviour::LimitsRate(1));
    let fixture = fakes.fixture(Origin::new()).await;
    fixture.upload(&artifact("master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    until(|| fakes.slack.attempts() == 1).await;
    let limited = Instant::now();
    fakes.slack.behave(Behaviour::Works);
    fakes.heard_of(1).await;
    // It had been limited a moment before it was seen here.
    assert!(limited.elapsed() > Duration::from_millis(800), "{:?}", limited.elapsed());
}

#[tokio::test]
async fn a_slow_notifier_delays_no_other() {
    let fakes = Fakes::start().await;
    fakes.slack.behave(Behaviour::Hangs);
    let fixture = fakes.fixture(Origin::new()).await;
    fixture.upload(&artifact("master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    until(|| !fakes.grafana.annotations().is_empty() && fakes.github.tag("api", "dev").is_some()).await;
    assert!(fakes.slack.messages().is_empty());
    fakes.slack.behave(Behaviour::Works);
    fakes.heard_of(1).await;
}

#[tokio::test]
async fn a_lost_answer_moves_a_tag_once_more_and_no_release_waits() {
    let fakes = Fakes::start().await;
    fakes.github.behave(Behaviour::LosesAnswers);
    let fixture = fakes.fixture(Origin::new()).await;
    fixture.upload(&artifact("master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    until(|| fakes.github.attempts() > 2).await;
    fakes.github.behave(Behaviour::Works);
    fakes.heard_of(1).await;
    let sha = artifact("master-1").spec().application.sha.clone();
    assert_eq!(fakes.github.tag("api", "dev"), Some(sha));
}

#[tokio::test]
async fn what_was_not_delivered_is_delivered_after_a_restart_and_only_once() {
    let fakes = Fakes::start().await;
    fakes.behave(Behaviour::Fails(500));
    let fixture = fakes.fixture(Origin::new()).await;
    fixture.upload(&artifact("master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    let origin = fixture.stop().await;

    fakes.behave(Behaviour::Works);
    let restarted = Fakes { metrics: Metrics::new(), ..fakes };
    let fixture = restarted.fixture(origin).await;
    restarted.heard_of(1).await;
    let fixture = restarted.fixture(fixture.stop().await).await;
    fixture.upload(&artifact("master-2")).await;
    fixture.release(request("api", "dev", "master-2")).await;
    restarted.heard_of(2).await;
}

/// A broker whose process is killed before an acknowledgement is saved.
pub(super) struct KilledBeforeAck(pub(super) Arc<dyn Broker>);

impl Broker for KilledBeforeAck {
    fn ack(&self, _: Uuid) -> BoxFuture<'_, Result<(), BrokerError>> {
        async { Err(BrokerError::Stopped) }.boxed()
    }

    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.publish(message)
    }

    fn receive(&self) -> BoxFuture<'_, Option<Message>> {
        self.0.receive()
    }

    fn bury(&self, id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.bury(id, reason)
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>> {
        self.0.counts()
    }

    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>> {
        self.0.pending()
    }

    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>> {
        self.0.dead()
    }

    fn retry(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.0.retry(id)
    }

    fn drop_dead(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.0.drop_dead(id)
    }

    fn close(&self) {
        self.0.close();
    }
}

#[tokio::test]
async fn an_event_that_comes_again_after_a_kill_notifies_once() {
    let fakes = Fakes::start().await;
    let origin = Origin::new();
    let broker = Arc::new(KilledBeforeAck(events(&origin)));
    let outbox = fakes.outbox(&origin, QUICK);
    let fixture = Fixture::start_with(origin, broker, outbox).await;
    fixture.upload(&artifact("master-1")).await;
    let killed = fixture.release(request("api", "dev", "master-1")).await;
    until(|| fakes.pending() == 5).await;
    let origin = fixture.stop().await;
    assert_eq!(fakes.slack.attempts(), 0, "nothing is sent before the acknowledgement");

    let restarted = Fakes { metrics: Metrics::new(), ..fakes };
    let fixture = restarted.fixture(origin).await;
    restarted.heard_of(1).await;
    assert_eq!(fixture.finished(killed.release_id).await.commit, killed.commit);
}

#[tokio::test]
async fn a_failure_for_good_is_told_to_the_actor() {
    const KUSTOMIZATION: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n";
    let fakes = Fakes::start().await;
    let fixture = fakes.fixture(Origin::new()).await;
    let two = artifact("master-1").file("dev", "a.yaml", KUSTOMIZATION).file("dev", "b.yaml", KUSTOMIZATION);
    fixture.upload(&two).await;
    let actor = Person::new("Joe", "joe@example.com");
    let status = fixture.release(ReleaseRequest { actor, ..request("api", "dev", "master-1") }).await;
    assert_eq!(status.state, ReleaseState::Failed);
    until(|| !fakes.slack.messages().is_empty()).await;
    let message = &fakes.slack.messages()[0];
    assert_eq!(message.to, "joe@example.com");
    assert_eq!(message.attachment["title"], "Release of api to dev failed");
    assert_eq!(fakes.grafana.attempts() + fakes.github.attempts(), 0);
}

#[tokio::test]
async fn what_is_tried_for_too_long_is_given_up() {
    let fakes = Fakes::start().await;
    fakes.behave(Behaviour::Fails(500));
    let origin = Origin::new();
    let outbox = fakes.outbox(&origin, Retries { give_up_after: Duration::ZERO, ..QUICK });
    let broker = events(&origin);
    let fixture = Fixture::start_with(origin, broker, outbox).await;
    fixture.upload(&artifact("master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    let given_up = r#"release_manager_notifications_total{notifier="slack",outcome="given_up"}"#;
    until(|| fakes.metric(given_up) == 3 && fakes.pending() == 0).await;
    assert_eq!(fakes.slack.attempts(), 3);
}
