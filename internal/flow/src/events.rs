//! The queue of accepted events, for operators.

use release_api::v1::{EventsResponse, QueuedEvent};
use release_broker::{Counts, Message};
use release_core::{
    Event,
    event::{EventError, Release},
};
use uuid::Uuid;

use crate::{Flow, FlowError};

impl Flow {
    /// How many events wait and how many failed for good.
    pub async fn event_counts(&self) -> Result<Counts, FlowError> {
        Ok(self.backends.broker.counts().await?)
    }

    /// What waits and what failed for good.
    pub async fn events(&self) -> Result<EventsResponse, FlowError> {
        let broker = &self.backends.broker;
        let pending = broker.pending().await?.into_iter().map(|message| queued(message, None));
        let dead = broker.dead().await?.into_iter().map(|dead| queued(dead.message, Some(dead.reason)));
        Ok(EventsResponse { pending: pending.collect(), dead: dead.collect() })
    }

    /// Puts a dead event back into the queue.
    pub async fn retry_event(&self, id: Uuid) -> Result<(), FlowError> {
        if !self.backends.broker.dead().await?.iter().any(|dead| dead.message.id == id) {
            return Err(not_dead(id));
        }
        // Before it is delivered again: it is no longer a failed release.
        self.tracker.forget(id);
        if self.backends.broker.retry(id).await? { Ok(()) } else { Err(not_dead(id)) }
    }

    /// Removes a dead event for good.
    pub async fn drop_event(&self, id: Uuid) -> Result<(), FlowError> {
        if self.backends.broker.drop_dead(id).await? {
            self.tracker.forget(id);
            Ok(())
        } else {
            Err(not_dead(id))
        }
    }
}

/// The event that a message is.
pub(crate) fn event_of(message: &Message) -> Result<Event, EventError> {
    Ok(match Event::from_json(&message.kind, &message.body)? {
        // An event of the field's implementation has no release id; that of its message serves.
        Event::Release(release) => Event::Release(Release { release_id: message.id, ..release }),
        other @ (Event::NewArtifact(_) | Event::Rollout(_)) => other,
    })
}

fn not_dead(id: Uuid) -> FlowError {
    FlowError::NotFound(format!("there is no dead event '{id}'; list them with 'server events list'"))
}

fn queued(message: Message, reason: Option<String>) -> QueuedEvent {
    let body = serde_json::from_slice(&message.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&message.body).into_owned().into());
    QueuedEvent {
        id: message.id,
        kind: message.kind,
        accepted_at: message.accepted_at,
        request_id: message.correlation_id,
        reason,
        body,
    }
}
