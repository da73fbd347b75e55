//! Clients that go on releasing whatever happens to the server, and remember what they were told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::harness::{Answer, Artifact, Audience, Caller, LONG, Order, Server, answer};

/// One of so many unanswered requests is not sent again.
const GIVE_UP_EVERY: usize = 4;
/// So many releases of one client may wait: some, so that a crash meets a queue, and few, because
/// a server that is killed all the time accepts faster than it pushes.
const MAX_WAITING: usize = 4;
/// Does not let the load alone keep the machine busy.
const PAUSE: Duration = Duration::from_millis(5);

/// Releases three artifacts of a service in turns: each release changes something, also when the one
/// before it never arrived.
pub(crate) struct Client {
    caller: Caller,
    artifacts: [Artifact; 3],
    pub(crate) told: Told,
    made: usize,
}

/// What a client knows for certain.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Answered: these become one commit each.
    pub(crate) accepted: Vec<Uuid>,
    /// Not answered and not repeated: so many more commits there may be.
    pub(crate) uncertain: usize,
    /// What runs at the end: the artifact of the last answered request.
    pub(crate) last: Option<Artifact>,
}

impl Client {
    pub(crate) async fn new(server: &Server, service: &str) -> Self {
        let artifacts = [
            server.push_new(service, "master-1-a").await,
            server.push_new(service, "master-1-b").await,
            server.push_new(service, "master-1-c").await,
        ];
        Self { caller: server.caller(Audience::Hamctl), artifacts, told: Told::default(), made: 0 }
    }

    /// The next request.
    pub(crate) fn next(&mut self) -> Order {
        let artifact = &self.artifacts[self.made % self.artifacts.len()];
        let order = Order::new(artifact.service(), "dev", artifact.id());
        self.made += 1;
        order
    }

    /// Sends it once.
    pub(crate) async fn send(&mut self, order: &Order) -> Option<()> {
        let answer = self.attempt(order).await?;
        self.note(order, &answer);
        Some(())
    }

    /// Sends it until there is an answer.
    pub(crate) async fn insist(&mut self, order: &Order) {
        let answer = timeout(LONG, self.repeat(order)).await.expect("a release is answered in time");
        self.note(order, &answer);
    }

    async fn repeat(&self, order: &Order) -> Answer {
        loop {
            if let Some(answer) = self.attempt(order).await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    }

    /// `None` when there was no answer, or the server said that it is not there yet.
    async fn attempt(&self, order: &Order) -> Option<Answer> {
        let answer = self.caller.order(order).await.ok()?;
        assert!(matches!(answer.status, 200 | 503), "{order:?}: {answer:?}");
        (answer.status == 200).then_some(answer)
    }

    fn note(&mut self, order: &Order, answer: &Answer) {
        let release = answer.release_id();
        self.told.accepted.push(release.unwrap_or_else(|| panic!("{order:?} has no effect: {answer:?}")));
        self.told.last = self.artifacts.iter().find(|artifact| artifact.id() == order.artifact_id).cloned();
    }

    /// Also when nobody tells.
    async fn has_too_many_waiting(&self) -> bool {
        let accepted = &self.told.accepted;
        let Some(index) = accepted.len().checked_sub(MAX_WAITING) else { return false };
        let request = self.caller.request(Method::GET, &format!("/api/v1/releases/{}", accepted[index]));
        !answer(request).await.is_ok_and(|answer| answer.body["state"] == "released")
    }

    async fn work(mut self, stop: Arc<AtomicBool>) -> Told {
        let mut unanswered = 0;
        while !stop.load(Ordering::Relaxed) {
            if self.has_too_many_waiting().await {
                sleep(PAUSE).await;
                continue;
            }
            let order = self.next();
            if self.send(&order).await.is_none() {
                unanswered += 1;
                if unanswered % GIVE_UP_EVERY == 0 {
                    self.told.uncertain += 1;
                } else {
                    self.insist(&order).await;
                }
            }
            sleep(PAUSE).await;
        }
        // The last word has an answer.
        let order = self.next();
        self.insist(&order).await;
        self.told
    }
}

/// Clients of several services, each waiting for its answer before it asks for more.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Told>>,
}

impl Load {
    pub(crate) async fn start(server: &Server, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for number in 0..count {
            let client = Client::new(server, &format!("service-{number}")).await;
            clients.push(tokio::spawn(client.work(stop.clone())));
        }
        Self { stop, clients }
    }

    pub(crate) async fn stop(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let told = futures::future::try_join_all(self.clients).await;
        told.expect("no client has panicked")
    }
}
