//! Use cases of the release platform: plan purely, then act.
//!
//! [`Flow`] answers requests: it checks a release, hands it to the broker, and
//! reads status and history from snapshots. The [`Dispatcher`] executes what the
//! broker accepted.

mod artifacts;
mod auto_release;
mod describe;
mod dispatcher;
mod dora;
mod error;
mod events;
mod gate;
mod layout;
mod outbox;
mod plan;
mod policies;
mod release;
mod rollouts;
mod status;
mod suggest;
mod tracker;

use std::sync::Arc;

use release_broker::Broker;
use release_core::{Event, full_message, policy::GlobalRestrictions};
use release_git::{ConfigRepository, GitError, Snapshot, Writer};
use release_storage::Storage;
use release_telemetry::Metrics;
use tokio::sync::{Mutex, Semaphore};

pub use dispatcher::Dispatcher;
pub use dora::Scope;
pub use error::FlowError;
pub use outbox::{Outbox, Retries};
pub use release::{Accepted, ReleaseRequest};

use dora::Builds;
use rollouts::Rollouts;
use tracker::Tracker;

/// What the use cases work on.
#[derive(Clone)]
pub struct Backends {
    pub repository: ConfigRepository,
    pub writer: Writer,
    pub storage: Arc<dyn Storage>,
    pub broker: Arc<dyn Broker>,
    pub outbox: Outbox,
    pub metrics: Metrics,
    /// Branch restrictions for all services.
    pub restrictions: Arc<GlobalRestrictions>,
}

/// The use cases, over one config repository, one storage and one broker. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    backends: Backends,
    tracker: Arc<Tracker>,
    rollouts: Rollouts,
    builds: Arc<Mutex<Builds>>,
    fetches: Arc<Semaphore>,
}

/// One fetch that runs, and one that waits and will see all that was pushed meanwhile.
const MAX_FETCHES: usize = 2;

impl Flow {
    /// The use cases, and what executes the events that they accept.
    pub async fn new(backends: Backends) -> Result<(Self, Dispatcher), FlowError> {
        let tracker = Arc::new(Tracker::default());
        // What was accepted before a restart will still change what runs; the dispatcher
        // gets to it only later, and until then a request would be told what runs now.
        for message in backends.broker.pending().await? {
            backends.outbox.hold(message.id);
            if let Ok(Event::Release(release)) = events::event_of(&message) {
                tracker.accept(&release);
            }
        }
        let rollouts = Rollouts::new(backends.clone());
        let dispatcher = Dispatcher::new(backends.clone(), tracker.clone(), rollouts.clone());
        let fetches = Arc::new(Semaphore::new(MAX_FETCHES));
        Ok((Self { backends, tracker, rollouts, builds: Arc::default(), fetches }, dispatcher))
    }

    /// The branch of the config repository that is read and written.
    pub fn branch(&self) -> &str {
        self.backends.repository.branch()
    }

    /// Looks at the config repository's remote now, in the background: somebody has pushed.
    pub fn fetch_soon(&self) {
        let Ok(permit) = self.fetches.clone().try_acquire_owned() else { return };
        let writer = self.backends.writer.clone();
        tokio::spawn(async move {
            // A failure is noted as a problem of the remote, which is looked at again anyway.
            let _ = writer.fetch().await;
            drop(permit);
        });
    }

    /// What keeps the server from doing its work, one sentence each.
    pub async fn problems(&self) -> Vec<String> {
        let remote = self.backends.repository.problem().borrow().clone();
        let storage = self.backends.storage.check().await.err().map(|error| full_message(&error));
        let broker = self.backends.broker.counts().await.err().map(|error| full_message(&error));
        [remote, storage, broker].into_iter().flatten().collect()
    }

    /// Reads the newest snapshot on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, FlowError> + Send + 'static,
    ) -> Result<T, FlowError> {
        let snapshot = self.backends.repository.snapshot();
        tokio::task::spawn_blocking(move || read(&snapshot))
            .await
            .map_err(|panic| FlowError::Internal(format!("reading the config repository: {panic}")))?
    }
}

impl From<GitError> for FlowError {
    fn from(error: GitError) -> Self {
        Self::Internal(full_message(&error))
    }
}
