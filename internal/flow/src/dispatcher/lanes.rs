//! Events under way: many at once, those with the same key one after the other.

use std::collections::{HashMap, VecDeque};

use release_broker::Message;
use release_telemetry::{TraceContext, name_span};
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument, error, error_span, field::Empty};

use super::Worker;

#[derive(Default)]
pub(super) struct Lanes {
    in_flight: usize,
    /// What waits behind an event with the same key.
    behind: HashMap<String, VecDeque<Message>>,
    /// Each gives back the key of what it executed.
    running: JoinSet<String>,
}

impl Lanes {
    /// How many are worked on or wait for an earlier one with their key.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn take(&mut self, worker: &Worker, key: String, message: Message) {
        self.in_flight += 1;
        match self.behind.get_mut(&key) {
            Some(behind) => behind.push_back(message),
            None => {
                self.behind.insert(key.clone(), VecDeque::new());
                self.start(worker, key, message);
            }
        }
    }

    /// The next that ends; `None` when none is under way. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<String, JoinError>> {
        self.running.join_next().await
    }

    pub(super) fn finished(&mut self, worker: &Worker, done: Result<String, JoinError>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let key = match done {
            Ok(key) => key,
            Err(panic) => {
                // Its successors stay in the queue: executing them would change their order.
                error!("executing an event panicked; it is tried again after a restart: {panic}");
                return;
            }
        };
        if let Some(behind) = self.behind.get_mut(&key) {
            match behind.pop_front() {
                Some(next) => self.start(worker, key, next),
                None => {
                    self.behind.remove(&key);
                }
            }
        }
    }

    fn start(&mut self, worker: &Worker, key: String, message: Message) {
        let worker = worker.clone();
        let span = error_span!("event", "otel.name" = Empty, requestId = message.correlation_id, event = %message.id);
        if let Some(trace) = message.trace.as_deref().and_then(TraceContext::from_header) {
            trace.adopt(&span);
        }
        name_span(&span, &message.kind);
        let work = async move {
            worker.execute(message).await;
            key
        };
        self.running.spawn(work.instrument(span));
    }
}
