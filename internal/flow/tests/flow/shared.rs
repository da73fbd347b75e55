//! A broker that other servers and programs share, as RabbitMQ is: it takes back, delivers again, and others listen.

use std::{
    collections::VecDeque,
    future::{pending, ready},
    sync::Mutex,
};

use futures::{FutureExt as _, future::BoxFuture};
use release_broker::{BrokerError, Counts, DeadMessage, Lease};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::*;

/// What the flow does with it, and what it is to answer.
struct Shared {
    queue: mpsc::UnboundedSender<Message>,
    delivered: tokio::sync::Mutex<mpsc::UnboundedReceiver<Message>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    published: Vec<Message>,
    announced: Vec<Message>,
    acked: Vec<Uuid>,
    /// The answers to the next publications; `None` never comes.
    publications: VecDeque<Option<BrokerError>>,
    /// So many announcements are refused.
    refusals: usize,
    /// Not this server's to execute.
    taken_back: Option<Uuid>,
    /// Publications go to another server.
    is_passive: bool,
}

impl Shared {
    fn new() -> Arc<Self> {
        let (queue, delivered) = mpsc::unbounded_channel();
        Arc::new(Self { queue, delivered: delivered.into(), seen: Mutex::default() })
    }

    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap())
    }

    fn published(&self, index: usize) -> Message {
        self.see(|seen| seen.published[index].clone())
    }

    fn deliver(&self, message: Message) {
        self.queue.send(message).unwrap();
    }

    async fn until(&self, is_so: impl Fn(&Seen) -> bool) {
        while !self.see(|seen| is_so(seen)) {
            tokio::task::yield_now().await;
        }
    }
}

fn away() -> BrokerError {
    BrokerError::Unavailable { reason: "a test".into() }
}

impl Broker for Shared {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        match self.see(|seen| seen.publications.pop_front()) {
            Some(None) => return pending().boxed(),
            Some(Some(error)) => return ready(Err(error)).boxed(),
            None => {}
        }
        let is_passive = self.see(|seen| {
            seen.published.push(message.clone());
            seen.is_passive
        });
        if !is_passive {
            self.deliver(message);
        }
        ready(Ok(())).boxed()
    }

    fn announce(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        let answer = self.see(|seen| {
            assert!(seen.acked.is_empty(), "before its cause is acknowledged");
            if seen.refusals > 0 {
                seen.refusals -= 1;
                return Err(away());
            }
            seen.announced.push(message);
            Ok(())
        });
        ready(answer).boxed()
    }

    fn receive(&self) -> BoxFuture<'_, Option<Message>> {
        async { self.delivered.lock().await.recv().await }.boxed()
    }

    fn holds(&self, id: Uuid) -> bool {
        self.see(|seen| !seen.is_passive && seen.taken_back != Some(id))
    }

    fn ack(&self, id: Uuid) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.see(|seen| seen.acked.push(id));
        ready(Ok(())).boxed()
    }

    fn bury(&self, _id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>> {
        panic!("nothing fails here: {reason}");
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>> {
        ready(Ok(Counts { pending: 0, dead: 0 })).boxed()
    }

    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>> {
        panic!("dear");
    }

    fn retry(&self, _id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        ready(Ok(false)).boxed()
    }

    fn drop_dead(&self, _id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        ready(Ok(false)).boxed()
    }

    fn close(&self) {}
}

async fn start(broker: &Arc<Shared>) -> Fixture {
    let fixture = Fixture::start_with(Origin::new(), broker.clone(), quiet_outbox()).await;
    for artifact in ["master-1", "master-2"] {
        fixture.upload(&ArtifactBuilder::new("api", artifact)).await;
    }
    fixture
}

async fn accept(fixture: &Fixture, artifact: &str) -> Uuid {
    match fixture.flow.release(request("api", "dev", artifact)).await.unwrap() {
        Accepted::Queued { release_id } => release_id,
        Accepted::Unchanged => panic!("unchanged"),
    }
}

#[tokio::test]
async fn a_release_is_announced_before_it_is_acknowledged_however_often_that_is_refused() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    broker.see(|seen| seen.refusals = 2);
    let release = accept(&fixture, "master-1").await;
    broker.until(|seen| seen.acked == [release]).await;
    let announced = broker.see(|seen| seen.announced.clone());
    assert_eq!(announced.len(), 1);
    assert_eq!((announced[0].kind.as_str(), announced[0].correlation_id.as_str()), ("released", "a-request"));
    let body: Value = serde_json::from_slice(&announced[0].body).unwrap();
    let of_release =
        json!({"name": "api", "namespace": "dev", "artifactId": "master-1", "environment": "dev"});
    for (field, value) in of_release.as_object().unwrap() {
        assert_eq!(&body[field], value, "{body}");
    }
}

#[tokio::test]
async fn what_is_finished_and_comes_again_is_acknowledged_and_not_done_again() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    fixture.finished(accept(&fixture, "master-1").await).await;
    // Accepted, and then without effect.
    let again = fixture.flow.release(request("api", "dev", "master-1")).await.unwrap();
    assert_eq!(again, Accepted::Unchanged);
    let unchanged = broker.published(1);
    broker.until(|seen| seen.acked.contains(&unchanged.id)).await;
    broker.see(|seen| seen.acked.clear());
    fixture.finished(accept(&fixture, "master-2").await).await;
    let head = fixture.origin.head();

    broker.until(|seen| seen.acked.len() == 1).await;
    broker.deliver(unchanged.clone());
    broker.until(|seen| seen.acked.contains(&unchanged.id)).await;
    assert_eq!(fixture.origin.head(), head, "it would have undone the newer one");
}

#[tokio::test]
async fn what_was_taken_back_is_not_begun_before_it_comes_again() {
    let broker = Shared::new();
    let (fixture, go) = Fixture::start_idle_with(Origin::new(), broker.clone(), quiet_outbox(), "").await;
    fixture.upload(&ArtifactBuilder::new("api", "master-1")).await;
    fixture.upload(&ArtifactBuilder::new("other", "master-1")).await;
    let release = accept(&fixture, "master-1").await;
    broker.see(|seen| seen.taken_back = Some(release));
    go.send(()).unwrap();
    // What comes behind it shows that its turn has been.
    fixture.release(request("other", "dev", "master-1")).await;
    assert_eq!(fixture.flow.release_status(release).await.unwrap().unwrap().state, ReleaseState::Queued);
    broker.see(|seen| {
        seen.taken_back = None;
        seen.acked.clear();
    });
    broker.deliver(broker.published(0));
    assert_eq!(fixture.finished(release).await.state, ReleaseState::Released);
}

#[tokio::test]
async fn a_repeated_request_does_not_rely_on_one_that_may_fail_yet() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    broker.see(|seen| seen.publications.push_back(None));
    let keyed = ReleaseRequest { idempotency_key: Some("key".into()), ..request("api", "dev", "master-1") };
    let mut first = Box::pin(fixture.flow.release(keyed.clone()));
    let hangs = async {
        broker.until(|seen| seen.publications.is_empty()).await;
    };
    tokio::select! {
        answer = &mut first => panic!("{answer:?}"),
        () = hangs => {}
    }
    let second = fixture.flow.release(keyed).await.unwrap();
    let Accepted::Queued { release_id } = second else { panic!("{second:?}") };
    assert_eq!(broker.published(0).id, release_id, "it is with the broker");
    drop(first);
    assert_eq!(fixture.finished(release_id).await.state, ReleaseState::Released);
}

#[tokio::test]
async fn a_request_that_is_given_up_or_refused_leaves_nothing_behind() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    let keyed = ReleaseRequest { idempotency_key: Some("key".into()), ..request("api", "dev", "master-1") };
    broker.see(|seen| seen.publications.extend([Some(away()), None]));
    assert!(matches!(fixture.flow.release(keyed.clone()).await, Err(FlowError::Unavailable(_))));
    let hangs = broker.until(|seen| seen.publications.is_empty());
    tokio::select! {
        answer = fixture.flow.release(keyed.clone()) => panic!("{answer:?}"),
        () = hangs => {}
    }
    let Accepted::Queued { release_id } = fixture.flow.release(keyed).await.unwrap() else { panic!() };
    assert_eq!(fixture.finished(release_id).await.state, ReleaseState::Released);
}

#[tokio::test]
async fn a_server_that_does_not_execute_leaves_the_last_word_to_the_other_one() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    fixture.finished(accept(&fixture, "master-1").await).await;
    broker.see(|seen| {
        seen.is_passive = true;
        seen.published.clear();
    });
    // It runs, but nobody here knows what waits elsewhere.
    let release = accept(&fixture, "master-1").await;
    assert_eq!(broker.published(0).id, release);
    let status = fixture.flow.release_status(release).await.unwrap().unwrap();
    assert_eq!(status.state, ReleaseState::Unchanged);
    let newer = accept(&fixture, "master-2").await;
    assert_eq!(fixture.flow.release_status(newer).await.unwrap().unwrap().state, ReleaseState::Queued);
}

#[tokio::test]
async fn a_storm_of_reports_holds_up_no_release() {
    let broker = Shared::new();
    let fixture = start(&broker).await;
    // None of them ends.
    broker.see(|seen| seen.refusals = usize::MAX);
    for number in 0..1_500 {
        let body = json!({"podName": format!("pod-{number}"), "namespace": "dev", "errors": [], "authorEmail": "",
            "environment": "dev", "artifactId": "somebody-elses-1", "squad": "", "alertSquad": ""});
        broker.deliver(Message {
            id: Uuid::new_v4(),
            kind: "rollout.podFailed".into(),
            correlation_id: String::new(),
            accepted_at: chrono::Utc::now(),
            body: serde_json::to_vec(&body).unwrap(),
            trace: None,
            lease: Lease::default(),
        });
    }
    let release = accept(&fixture, "master-1").await;
    let is_released = async || {
        let status = fixture.flow.release_status(release).await.unwrap().unwrap();
        status.state == release_api::v1::ReleaseState::Released
    };
    timeout(Duration::from_mins(2), async {
        while !is_released().await {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the release waits for the reports");
}
