//! Brings what is in the spool to the server.
//!
//! The order for each report: on disk, told, accepted, noted in the cluster, forgotten. A process that is
//! killed in between does the rest after its next start, under the same ids, so that nothing gets lost and
//! nothing has an effect twice.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use release_broker::Message;
use release_cluster::{Cluster, Happening, Observation, ObserveError};
use release_core::full_message;
use release_telemetry::DaemonMetrics;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    health::Health,
    lanes::Lanes,
    pauses::Pauses,
    spool::{self, Spool},
    target::{Target, TellError},
};

/// How many reports are told at the same time.
const AT_ONCE: usize = 16;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) spool: Arc<Spool>,
    pub(crate) target: Arc<Target>,
    pub(crate) cluster: Cluster,
    pub(crate) health: Health,
    pub(crate) metrics: DaemonMetrics,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Delivery {
    pub(crate) fn new(
        spool: Arc<Spool>,
        target: Arc<Target>,
        cluster: Cluster,
        health: Health,
        metrics: DaemonMetrics,
        stop: CancellationToken,
    ) -> Self {
        Self { spool, target, cluster, health, metrics, turns: Arc::new(Semaphore::new(AT_ONCE)), stop }
    }

    /// Delivers until the stop, and then lets what is in flight arrive.
    pub(crate) async fn run(self) {
        let mut lanes = Lanes::default();
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(message) = self.spool.next() => {
                    let key = spool::ordering_key(&message);
                    if let Some(message) = lanes.enter(&key, message) {
                        under_way.spawn(self.clone().settle(key, message));
                    }
                }
                Some(settled) = under_way.join_next() => {
                    // A panic is logged, and its lane waits for the next start.
                    let Ok(key) = settled else { continue };
                    if let Some(message) = lanes.next(&key) {
                        under_way.spawn(self.clone().settle(key, message));
                    }
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Returns the lane when the message is settled, or at the stop.
    async fn settle(self, key: String, message: Message) -> String {
        match spool::read(&message) {
            Ok(happening) => self.deliver(&message, &happening).await,
            Err(reason) => self.bury(message.id, &message.kind, &reason).await,
        }
        key
    }

    async fn deliver(&self, message: &Message, happening: &Happening) {
        let mut pauses = Pauses::new();
        loop {
            match self.attempt(message, happening).await {
                None => return,
                Some(Ok(())) => break,
                Some(Err(TellError::Refused(reason))) => {
                    self.health.well(happening.id);
                    return self.bury(happening.id, happening.report.kind(), &reason).await;
                }
                Some(Err(error)) => {
                    self.metrics.count_failed_attempt();
                    self.health.away(happening.id, &error.to_string());
                    if self.is_stopped_within(&mut pauses).await {
                        return;
                    }
                }
            }
        }
        self.health.well(happening.id);
        self.metrics.count_report(happening.report.kind(), "delivered");
        tracing::info!(event = %happening.id, r#type = happening.report.kind(), about = happening.report.ordering_key(), "Told");
        if let Some(observation) = &happening.observation
            && self.observe(observation).await.is_err()
        {
            return;
        }
        self.take_out(happening.id, None).await;
    }

    /// `None`: it is time to stop.
    async fn attempt(&self, message: &Message, happening: &Happening) -> Option<Result<(), TellError>> {
        let turn = tokio::select! {
            turn = self.turns.acquire() => turn.ok()?,
            () = self.stop.cancelled() => return None,
        };
        let told = self.target.tell(&happening.report, happening.id, message.accepted_at).await;
        drop(turn);
        Some(told)
    }

    /// The error: it is time to stop.
    async fn observe(&self, observation: &Observation) -> Result<(), ()> {
        let mut pauses = Pauses::new();
        loop {
            let workload = &observation.workload;
            match self.cluster.observe(observation).await {
                Ok(()) => return Ok(()),
                Err(error @ ObserveError::Refused(_)) => {
                    // It is told again after the next start, and has no effect then.
                    tracing::error!(?workload, reason = %error, "a rollout that was told cannot be noted in the cluster");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(?workload, reason = %error, "a rollout that was told is not noted in the cluster yet");
                    if self.is_stopped_within(&mut pauses).await {
                        return Err(());
                    }
                }
            }
        }
    }

    async fn bury(&self, id: Uuid, kind: &str, reason: &str) {
        tracing::error!(event = %id, r#type = kind, reason, "the server refuses the report for good; it is dropped");
        self.metrics.count_report(kind, "refused");
        self.take_out(id, Some(reason)).await;
    }

    /// Tries until it is saved. What was refused is kept aside, so that it is not told again.
    async fn take_out(&self, id: Uuid, refused: Option<&str>) {
        let mut pauses = Pauses::new();
        loop {
            let saved = match refused {
                Some(reason) => self.spool.bury(id, reason).await,
                None => self.spool.ack(id).await,
            };
            let Err(error) = saved else { return };
            tracing::error!(
                reason = full_message(&error),
                "a delivered report cannot be forgotten; trying again"
            );
            if self.is_stopped_within(&mut pauses).await {
                return;
            }
        }
    }

    async fn is_stopped_within(&self, pauses: &mut Pauses) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(pauses.next())).await.is_none()
    }
}
