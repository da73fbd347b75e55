//! What was not delivered yet, on disk.

use std::path::Path;

use chrono::Utc;
use release_broker::{Broker as _, BrokerError, Counts, Embedded, Lease, Message};
use release_cluster::{Happening, Observation};
use release_core::rollout::Report;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// All that waits is in memory, too. While there is no room for more, the watches wait.
const MAX_BYTES: u64 = 32 << 20;

/// Keeps happenings until they are settled. An id that waits already, or was buried, is kept once.
pub(crate) struct Spool(Embedded);

#[derive(Serialize, Deserialize)]
struct Saved {
    report: Value,
    observation: Option<Observation>,
}

impl Spool {
    /// Opens what is in `directory`, or begins anew. Blocks while it reads.
    pub(crate) fn open(directory: &Path) -> Result<Self, BrokerError> {
        Embedded::open_up_to(&directory.join("reports.redb"), MAX_BYTES).map(Self)
    }

    /// On disk when this returns.
    pub(crate) async fn keep(&self, happening: &Happening) -> Result<(), BrokerError> {
        self.0.publish(message(happening)).await
    }

    /// The next one, in order; those that waited at the start come first.
    pub(crate) async fn next(&self) -> Option<Message> {
        self.0.receive().await
    }

    /// All that wait, delivered or not. What cannot be read is left out.
    pub(crate) async fn waiting(&self) -> Result<Vec<Happening>, BrokerError> {
        Ok(self.0.pending().await?.iter().filter_map(|message| read(message).ok()).collect())
    }

    pub(crate) async fn ack(&self, id: Uuid) -> Result<(), BrokerError> {
        self.0.ack(id).await
    }

    /// Keeps it without delivering it ever again.
    pub(crate) async fn bury(&self, id: Uuid, reason: &str) -> Result<(), BrokerError> {
        self.0.bury(id, reason.to_owned()).await
    }

    pub(crate) async fn counts(&self) -> Result<Counts, BrokerError> {
        self.0.counts().await
    }
}

fn message(happening: &Happening) -> Message {
    let report = serde_json::from_slice(&happening.report.to_json()).expect("it was JSON a moment ago");
    let saved = Saved { report, observation: happening.observation.clone() };
    Message {
        id: happening.id,
        kind: happening.report.kind().to_owned(),
        correlation_id: happening.id.to_string(),
        accepted_at: Utc::now(),
        body: serde_json::to_vec(&saved).expect("it has only texts and numbers"),
        trace: None,
        lease: Lease::default(),
    }
}

/// The error says why it cannot be read.
pub(crate) fn read(message: &Message) -> Result<Happening, String> {
    let saved: Saved = serde_json::from_slice(&message.body).map_err(|error| error.to_string())?;
    let report = serde_json::to_vec(&saved.report).expect("it was JSON a moment ago");
    let report = Report::from_json(&message.kind, &report).map_err(|error| error.to_string())?;
    Ok(Happening { id: message.id, report, observation: saved.observation })
}

/// Messages with the same key are about the same object. One that cannot be read is about itself.
pub(crate) fn ordering_key(message: &Message) -> String {
    read(message).map_or_else(|_| message.id.to_string(), |happening| happening.report.ordering_key())
}
