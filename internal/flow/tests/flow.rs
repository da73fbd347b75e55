//! The use cases over a real repository, the directory store and the embedded broker.

#[path = "flow/notifications.rs"]
mod notifications;

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use release_api::v1::{ReleaseState, ReleaseStatus};
use release_broker::{Broker, Embedded, Memory, Message};
use release_core::{Intent, Name, Person};
use release_flow::{Accepted, Backends, Flow, FlowError, Outbox, ReleaseRequest, Retries};
use release_git::{ConfigRepository, Credentials, Options, RemoteOptions, Writer};
use release_notify::{Config, Notifiers};
use release_storage::{Checksum, DirectoryStore, Limits, UploadQuery};
use release_telemetry::Metrics;
use release_testing::{artifact::ArtifactBuilder, origin::Origin};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

#[path = "flow/policies.rs"]
mod policies;
#[path = "flow/rollouts.rs"]
mod rollouts;
#[path = "flow/shared.rs"]
mod shared;

struct Fixture {
    origin: Origin,
    flow: Flow,
    store: DirectoryStore,
    broker: Arc<dyn Broker>,
    writer: Writer,
    metrics: Metrics,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
}

impl Fixture {
    async fn start(origin: Origin) -> Self {
        Self::start_restricted(origin, "").await
    }

    /// With branch restrictions for all services.
    async fn start_restricted(origin: Origin, restrictions: &str) -> Self {
        let (fixture, go) = Self::start_idle(origin, restrictions).await;
        go.send(()).unwrap();
        fixture
    }

    /// Executes nothing before it is told to.
    async fn start_idle(origin: Origin, restrictions: &str) -> (Self, oneshot::Sender<()>) {
        let broker = events(&origin);
        Self::start_idle_with(origin, broker, quiet_outbox(), restrictions).await
    }

    async fn start_with(origin: Origin, broker: Arc<dyn Broker>, outbox: Outbox) -> Self {
        let (fixture, go) = Self::start_idle_with(origin, broker, outbox, "").await;
        go.send(()).unwrap();
        fixture
    }

    async fn start_idle_with(
        origin: Origin,
        broker: Arc<dyn Broker>,
        outbox: Outbox,
        restrictions: &str,
    ) -> (Self, oneshot::Sender<()>) {
        let data = data(&origin);
        let (repository, writer) = ConfigRepository::open(&Options {
            directory: data.join("config.git"),
            remote: RemoteOptions {
                url: origin.url(),
                credentials: Credentials::default(),
                timeout: Duration::from_mins(1),
            },
            branch: None,
            committer: Person::new("release-manager", "bot@example.com"),
            signing: None,
            poll_interval: Duration::from_hours(1),
            max_pushes_per_minute: 0,
            on_push: std::sync::Arc::new(|_| ()),
        })
        .unwrap();
        let url = Url::parse("http://localhost").unwrap();
        let store = DirectoryStore::open(&data, url, Limits::default()).unwrap();
        let metrics = Metrics::new();
        let (flow, dispatcher) = Flow::new(Backends {
            repository,
            writer: writer.clone(),
            storage: Arc::new(store.clone()),
            broker: broker.clone(),
            outbox,
            metrics: metrics.clone(),
            restrictions: Arc::new(restrictions.parse().unwrap()),
        })
        .await
        .unwrap();
        let stop = dispatcher.stop_token();
        let (go, told) = oneshot::channel();
        let dispatcher = tokio::spawn(async move {
            told.await.unwrap();
            dispatcher.run().await;
        });
        (Self { origin, flow, store, broker, writer, metrics, stop, dispatcher }, go)
    }

    /// Ends everything in the order in which a server does.
    async fn stop(self) -> Origin {
        self.stop.cancel();
        self.dispatcher.await.unwrap();
        self.writer.close();
        self.origin
    }

    async fn upload(&self, artifact: &ArtifactBuilder) {
        let zip = artifact.zip();
        let md5 = Checksum::of(&zip);
        let url = self.flow.create_artifact(artifact.spec().clone(), md5.to_string()).await.unwrap();
        let url = Url::parse(&url).unwrap();
        let query: serde_json::Map<_, _> =
            url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect();
        let query: UploadQuery = serde_json::from_value(query.into()).unwrap();
        let (service, id) = (name(&artifact.spec().service), name(&artifact.spec().id));
        let body = futures::stream::iter([Ok::<_, Infallible>(Bytes::from(zip))]);
        let now = chrono::Utc::now();
        self.store.receive(&service, &id, &query, Some(&md5.to_string()), body, now).await.unwrap();
    }

    async fn release(&self, request: ReleaseRequest) -> ReleaseStatus {
        match self.flow.release(request).await.unwrap() {
            Accepted::Queued { release_id } => self.finished(release_id).await,
            Accepted::Unchanged => panic!("unchanged"),
        }
    }

    async fn finished(&self, id: Uuid) -> ReleaseStatus {
        loop {
            let status = self.flow.release_status(id).await.unwrap().unwrap();
            if status.state.is_final() {
                return status;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn data(origin: &Origin) -> PathBuf {
    let data = origin.scratch().join("data");
    std::fs::create_dir_all(&data).unwrap();
    data
}

fn events(origin: &Origin) -> Arc<dyn Broker> {
    Arc::new(Embedded::open(&data(origin).join("events.redb")).unwrap())
}

/// Without notifiers: nobody is notified.
fn quiet_outbox() -> Outbox {
    let notifiers = Notifiers::new(Config::default()).unwrap();
    Outbox::new(notifiers, Arc::new(Memory::new(0)), Retries::default(), Metrics::new())
}

fn name(value: &str) -> Name {
    Name::new(value).unwrap()
}

fn request(service: &str, environment: &str, artifact_id: &str) -> ReleaseRequest {
    ReleaseRequest {
        service: name(service),
        environment: name(environment),
        artifact_id: name(artifact_id),
        actor: Person::new("Jane Doe", "jane@example.com"),
        intent: Intent::ReleaseArtifact,
        idempotency_key: None,
        request_id: "a-request".into(),
    }
}

#[tokio::test]
async fn a_release_that_others_undid_is_made_again() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    fixture.origin.commit("undone", &[("dev/releases/dev/api/artifact.json", "{}")]);
    let again = fixture.release(request("api", "dev", "master-1")).await;
    assert_eq!((again.state, again.commit), (ReleaseState::Released, Some(fixture.origin.head())));
}

#[tokio::test]
async fn a_release_is_one_commit_and_is_seen_in_status_and_history() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-2").file("dev", "run/start.sh", "x")).await;
    let first = fixture.release(request("api", "dev", "master-1")).await;
    assert_eq!((first.state, first.commit.clone()), (ReleaseState::Released, Some(fixture.origin.head())));
    let intent = Intent::Rollback { previous_artifact_id: "master-1".into() };
    fixture.release(ReleaseRequest { intent: intent.clone(), ..request("api", "dev", "master-2") }).await;

    let message = fixture.origin.git(&["log", "-1", "--format=%B", "main"]);
    let expected = "[dev/api] rollback master-2 by jane@example.com\n\nService: api\nEnvironment: dev\n\
        Artifact-ID: master-2\nArtifact-released-by: Jane Doe <jane@example.com>\n\
        Artifact-created-by: Jane Doe <jane@example.com>\nRelease-intent: Rollback\n\
        Rollback-of-artifact-id: master-1";
    assert_eq!(message, expected);
    assert_eq!(fixture.origin.files("dev").len(), 11, "nine manifests, one file more and artifact.json");

    let status = fixture.flow.status(name("api"), None).await.unwrap();
    assert!(status.default_namespaces);
    assert_eq!(status.environments.len(), 1);
    assert_eq!(status.environments[0].tag, "master-2");
    let described = fixture.flow.describe_release(name("api"), name("dev"), None, 10).await.unwrap();
    let ids: Vec<_> = described.releases.iter().map(|r| (r.release_index, r.artifact.id.as_str())).collect();
    assert_eq!(ids, [(0, "master-2"), (1, "master-1")]);
    assert_eq!(described.releases[0].intent, intent);
    assert_eq!(described.releases[0].released_by_email, "jane@example.com");
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn what_runs_already_is_not_released_again() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    let head = fixture.origin.head();
    assert_eq!(fixture.flow.release(request("api", "dev", "master-1")).await.unwrap(), Accepted::Unchanged);
    assert_eq!(fixture.origin.head(), head);
}

#[tokio::test]
async fn releases_to_one_place_are_made_in_the_order_in_which_they_were_accepted() {
    let fixture = Fixture::start(Origin::new()).await;
    for artifact in ["master-1", "master-2"] {
        fixture.upload(&ArtifactBuilder::new("api", artifact)).await;
    }
    let mut accepted = Vec::new();
    for round in 0..20 {
        let artifact = ["master-1", "master-2"][round % 2];
        let Accepted::Queued { release_id } =
            fixture.flow.release(request("api", "dev", artifact)).await.unwrap()
        else {
            panic!("what is in front in the queue decides, not what runs now");
        };
        accepted.push(release_id);
    }
    for id in &accepted {
        assert_eq!(fixture.finished(*id).await.state, ReleaseState::Released);
    }
    let described = fixture.flow.describe_release(name("api"), name("dev"), None, 100).await.unwrap();
    let ids: Vec<_> = described.releases.iter().rev().map(|release| release.artifact.id.clone()).collect();
    let expected: Vec<_> = (0..20).map(|round| ["master-1", "master-2"][round % 2]).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_repeated_key_is_the_same_release_also_after_a_restart() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-2")).await;
    let with_key = |environment, artifact| ReleaseRequest {
        idempotency_key: Some("key".into()),
        ..request("api", environment, artifact)
    };
    let first = fixture.release(with_key("dev", "master-1")).await;
    fixture.release(request("api", "dev", "master-2")).await;
    let fixture = Fixture::start(fixture.stop().await).await;
    let again = fixture.release(with_key("dev", "master-1")).await;
    assert_eq!((again.release_id, again.commit), (first.release_id, first.commit));
    assert_eq!(fixture.origin.titles().len(), 3);
    // The same key for another environment is another release.
    assert_ne!(fixture.release(with_key("prod", "master-1")).await.release_id, first.release_id);
}

#[tokio::test]
async fn what_waits_since_before_a_restart_still_counts() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-2")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    fixture.origin.go_away();
    let accepted = fixture.flow.release(request("api", "dev", "master-2")).await.unwrap();
    let Accepted::Queued { release_id } = accepted else { panic!("{accepted:?}") };
    let origin = fixture.stop().await;
    origin.come_back();

    let (fixture, go) = Fixture::start_idle(origin, "").await;
    assert_eq!(fixture.flow.release_status(release_id).await.unwrap().unwrap().queue_position, Some(0));
    // It runs now, but not for long: to have it again is something to do.
    let back = fixture.flow.release(request("api", "dev", "master-1")).await.unwrap();
    let Accepted::Queued { release_id } = back else { panic!("{back:?}") };
    go.send(()).unwrap();
    assert_eq!(fixture.finished(release_id).await.state, ReleaseState::Released);
    assert_eq!(fixture.origin.titles().len(), 4);
}

#[tokio::test]
async fn a_kustomization_goes_to_the_clusters_and_a_stale_one_is_removed() {
    const KUSTOMIZATION: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n";
    let fixture = Fixture::start(Origin::new()).await;
    let with =
        ArtifactBuilder::new("api", "master-1").namespace("team").file("dev", "flux.yaml", KUSTOMIZATION);
    fixture.upload(&with).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-2").namespace("team")).await;
    let two = ArtifactBuilder::new("api", "master-3").file("dev", "flux.yaml", KUSTOMIZATION).file(
        "dev",
        "flux2.yaml",
        KUSTOMIZATION,
    );
    fixture.upload(&two).await;

    fixture.release(request("api", "dev", "master-1")).await;
    assert_eq!(fixture.origin.file("clusters/dev/team/api.yaml").unwrap(), KUSTOMIZATION.as_bytes());
    assert_eq!(fixture.origin.file("dev/releases/team/api/flux.yaml"), None);
    fixture.release(request("api", "dev", "master-2")).await;
    assert_eq!(fixture.origin.files("clusters"), [] as [&str; 0]);

    let status = fixture.release(request("api", "dev", "master-3")).await;
    assert_eq!(status.state, ReleaseState::Failed);
    assert!(status.message.unwrap().contains("flux.yaml, flux2.yaml"));

    // The namespace is the artifact's; asked for without it, the answer says where to look.
    let status = fixture.flow.status(name("api"), Some(name("team"))).await.unwrap();
    assert_eq!(status.environments[0].tag, "master-2");
    let error = fixture.flow.describe_release(name("api"), name("dev"), None, 1).await.unwrap_err();
    assert!(error.to_string().contains("namespace 'team'"), "{error}");
}

#[tokio::test]
async fn unknown_names_are_refused_with_similar_ones() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("payments", "master-1")).await;
    fixture.release(request("payments", "dev", "master-1")).await;
    let release =
        |service, environment, artifact| fixture.flow.release(request(service, environment, artifact));
    let describe =
        |service, environment| fixture.flow.describe_release(name(service), name(environment), None, 1);
    let cases = [
        (release("paymnets", "dev", "master-1").await.unwrap_err(), "did you mean 'payments'?"),
        (release("payments", "deev", "master-1").await.unwrap_err(), "did you mean 'dev'?"),
        (release("payments", "dev", "master-2").await.unwrap_err(), "did you mean 'master-1'?"),
        (fixture.flow.status(name("payment"), None).await.unwrap_err(), "did you mean 'payments'?"),
        (
            fixture.flow.describe_artifacts(name("payment"), None, 1).await.unwrap_err(),
            "did you mean 'payments'?",
        ),
        (
            fixture.flow.latest_artifact(name("payments"), "none".into()).await.unwrap_err(),
            "of branch 'none'",
        ),
        (describe("payments", "deb").await.unwrap_err(), "did you mean 'dev'?"),
        (describe("payment", "dev").await.unwrap_err(), "did you mean 'payments'?"),
    ];
    for (error, hint) in cases {
        assert!(matches!(error, FlowError::Invalid(_) | FlowError::NotFound(_)), "{error:?}");
        assert!(error.to_string().ends_with(hint), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_executed_is_put_aside_and_can_be_tried_again_or_dropped() {
    let fixture = Fixture::start(Origin::new()).await;
    let message = |kind: &str, body: &[u8]| Message {
        id: Uuid::new_v4(),
        kind: kind.into(),
        correlation_id: "r".into(),
        accepted_at: chrono::Utc::now(),
        body: body.to_vec(),
        trace: None,
        lease: release_broker::Lease::default(),
    };
    for (kind, body) in
        [("nonsense", &b"{}"[..]), ("release.artifactId", b"{"), ("release.artifactId", b"\xff")]
    {
        fixture.broker.publish(message(kind, body)).await.unwrap();
    }
    // Behind the broken ones: nothing is blocked.
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    // A release is told before it is acknowledged.
    let events = loop {
        let events = fixture.flow.events().await.unwrap();
        if events.pending.is_empty() {
            break events;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(events.dead.len(), 3);
    assert_eq!(events.dead[0].reason.as_deref(), Some("unknown event type 'nonsense'"));

    fixture.flow.drop_event(events.dead[0].id).await.unwrap();
    fixture.flow.retry_event(events.dead[1].id).await.unwrap();
    while fixture.flow.events().await.unwrap().dead.len() < 2 {
        tokio::task::yield_now().await;
    }
    let unknown = fixture.flow.retry_event(Uuid::new_v4()).await.unwrap_err();
    assert!(matches!(unknown, FlowError::NotFound(_)));
}

#[tokio::test]
async fn an_outage_of_the_remote_delays_releases_and_readers_go_on() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.upload(&ArtifactBuilder::new("api", "master-2")).await;
    fixture.release(request("api", "dev", "master-1")).await;
    fixture.origin.go_away();
    let Accepted::Queued { release_id } =
        fixture.flow.release(request("api", "dev", "master-2")).await.unwrap()
    else {
        panic!("accepted");
    };
    while fixture.flow.problems().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.flow.status(name("api"), None).await.unwrap().environments[0].tag, "master-1");
    fixture.origin.come_back();
    assert_eq!(fixture.finished(release_id).await.state, ReleaseState::Released);
    assert_eq!(fixture.flow.problems().await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_release_that_the_remote_alone_declines_is_put_aside_and_others_go_on() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.origin.set_hook(
        "pre-receive",
        "while read old new ref; do git log --format=%s $old..$new | grep -q /bad] && { echo 'bad is frozen'; exit 1; }; done; exit 0",
    );
    for service in ["bad", "good"] {
        for artifact in ["master-1", "master-2"] {
            fixture.upload(&ArtifactBuilder::new(service, artifact)).await;
        }
    }
    let Accepted::Queued { release_id } =
        fixture.flow.release(request("bad", "dev", "master-1")).await.unwrap()
    else {
        panic!("accepted");
    };
    let mut round = 0;
    loop {
        // The remote takes others in the meantime.
        fixture.release(request("good", "dev", ["master-1", "master-2"][round % 2])).await;
        round += 1;
        let status = fixture.flow.release_status(release_id).await.unwrap().unwrap();
        if status.state == ReleaseState::Failed {
            assert!(status.message.unwrap().contains("bad is frozen"));
            break;
        }
    }
    assert_eq!(fixture.flow.events().await.unwrap().dead.len(), 1);
}
