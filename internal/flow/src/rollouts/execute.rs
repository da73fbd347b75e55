//! Executes what a daemon told.
//!
//! In this order:
//!
//! 1. Its notifications are kept in the outbox, where they are held until the event is acknowledged.
//! 2. A line is added to the note of the release's commit, on the remote. An event whose line is
//!    there already is done, and makes no notifications.
//! 3. Other systems are told.
//! 4. The event is acknowledged, and its notifications go out. (2 to 4: [`crate::Dispatcher`] does the
//!    last two.)
//!
//! Killed after 1, the event comes again and makes the same notifications, with the same ids, which
//! the outbox knows. Killed after 2, it comes again, finds its line, and goes on with 3; what 1 kept is
//! still there. Killed after 3, other systems hear of it again under the same id. So nothing is lost. Nor is
//! anything told to people twice: whoever repeats an event that was acknowledged finds its line.
//! Only two servers that execute one event at the same moment, because RabbitMQ took it from the first,
//! may both tell it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use release_broker::{Lease, Message};
use release_core::{
    Name,
    event::rollout_announcement,
    rollout::{
        Report,
        record::{self, Record},
    },
};
use release_git::{Note, ObjectId, WriteError};
use release_telemetry::TraceContext;
use tokio::{task::spawn_blocking, time::timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Rollouts, find};
use crate::{FlowError, dispatcher::Failure};

/// How long the remote is looked at for a release that another server may have made.
const PATIENCE: Duration = Duration::from_secs(5);

/// A release, and whether a happening is in its note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    commit: ObjectId,
    released_at: DateTime<Utc>,
    is_recorded: bool,
    /// No other success of the release is recorded, or no other error.
    is_first: bool,
}

impl Rollouts {
    /// The steps until the note is on the remote. Gives back what other systems are to be told.
    pub(crate) async fn execute(
        &self,
        message: &Message,
        report: &Report,
    ) -> Result<Option<Message>, Failure> {
        let Some(record) = Record::new(message.id, Utc::now(), report) else {
            return self.keep_state(report).await;
        };
        if self.knows_stranger(message.id) {
            return Ok(None);
        }
        match self.find(&record, report).await? {
            Some(found) if found.is_recorded => {}
            Some(found) => {
                self.backends.outbox.rollout(message.id, report).await;
                self.write(found, record, report.environment()).await?;
            }
            None => {
                self.backends.outbox.rollout(message.id, report).await;
                self.remember_stranger(message.id);
                info!(
                    environment = report.environment(),
                    "artifact-id" = report.artifact_id(),
                    "a daemon told of {} {}/{}, which belongs to no release; it is told to people and kept nowhere",
                    record.object.kind,
                    record.object.namespace,
                    record.object.name,
                );
            }
        }
        Ok(announcement(message, report))
    }

    /// One that is refused will not be better the next time, and the next one replaces it anyway.
    async fn keep_state(&self, report: &Report) -> Result<Option<Message>, Failure> {
        let Report::State(state) = report else { return Ok(None) };
        if let Err(error) = self.hear(state.clone()).await {
            warn!(environment = state.environment, "a cluster's state is not kept: {error}");
        }
        Ok(None)
    }

    /// The release that it belongs to. Another server may have made it just now.
    async fn find(&self, record: &Record, report: &Report) -> Result<Option<Found>, FlowError> {
        if let Some(found) = self.look_for(record, report).await? {
            return Ok(Some(found));
        }
        // A failure is noted where the server says what is wrong with it.
        let fetch = async { drop(timeout(PATIENCE, self.backends.writer.fetch()).await) };
        self.known.looks.look(fetch).await;
        self.look_for(record, report).await
    }

    async fn look_for(&self, record: &Record, report: &Report) -> Result<Option<Found>, FlowError> {
        let snapshot = self.backends.repository.snapshot();
        let (known, record) = (self.known.clone(), record.clone());
        let artifact_id = report.artifact_id().to_owned();
        let Ok(environment) = Name::new(report.environment()) else { return Ok(None) };
        let look = move || {
            let desired = known.index.environment(&snapshot.tree(), &environment)?;
            let at = (&environment, &*desired);
            let Some(release) = find::release_of(&snapshot, at, &record.object, &artifact_id)? else {
                return Ok(None);
            };
            let note = snapshot.note(release.id)?.unwrap_or_default();
            let records = record::parse(&note);
            Ok(Some(Found {
                commit: release.id,
                released_at: DateTime::from_timestamp(release.time, 0).unwrap_or_default(),
                is_recorded: records.iter().any(|known| known.event == record.event),
                is_first: records.iter().all(|known| known.is_success() != record.is_success()),
            }))
        };
        let found = spawn_blocking(look).await;
        found.map_err(|panic| FlowError::Internal(format!("looking for a release: {panic}")))?
    }

    /// A remote that takes no notes must not stop people from hearing of it.
    async fn write(&self, found: Found, record: Record, environment: &str) -> Result<(), Failure> {
        let Found { commit, released_at, is_first, .. } = found;
        let (event, took) = (record.event, record.at - released_at);
        let outcome = if record.is_success() { "healthy" } else { "failed" };
        let plan = Box::new(move |note: Option<&str>| record::append(note, &record));
        match self.backends.writer.note(Note { commit, plan }).await {
            Ok(_) => {
                // Later ones are of other workloads and of restarts.
                if is_first {
                    let took = took.to_std().unwrap_or_default();
                    self.backends.metrics.observe_rollout(environment, outcome, took);
                }
                Ok(())
            }
            Err(error @ (WriteError::Declined(_) | WriteError::Refused(_))) => {
                warn!(%commit, "what became of a release cannot be noted; it is forgotten with the next restart: {error}");
                self.remember_stranger(event);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Each event makes one, with one id, however often it is told.
fn announcement(message: &Message, report: &Report) -> Option<Message> {
    let (kind, body) = rollout_announcement(report)?;
    Some(Message {
        id: Uuid::new_v5(&message.id, kind.as_bytes()),
        kind: kind.to_owned(),
        correlation_id: message.correlation_id.clone(),
        accepted_at: Utc::now(),
        body,
        trace: TraceContext::current_header(),
        lease: Lease::default(),
    })
}
