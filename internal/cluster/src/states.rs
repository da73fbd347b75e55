//! What the server is told of the workloads, and how often.

use std::time::Duration;

use chrono::Utc;
use release_core::rollout::ClusterState;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Cluster;

/// The least time between two states.
const PAUSE: Duration = Duration::from_secs(1);
/// How often all of it is told although nothing changed.
const COMPLETE_EVERY: Duration = Duration::from_mins(1);

/// States of a cluster, one after the other.
pub struct States {
    cluster: Cluster,
    last: Option<Instant>,
    last_complete: Option<Instant>,
}

impl States {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster, last: None, last_complete: None }
    }

    /// Waits for a change and gathers what comes within a second of the state before; a complete state comes
    /// first, after each new list, and every minute. Before the whole cluster is known, there is none.
    pub async fn next(&mut self) -> ClusterState {
        if let Some(last) = self.last {
            sleep_until(last + PAUSE).await;
        }
        loop {
            let now = Instant::now();
            let is_due = self.last_complete.is_none_or(|last| now >= last + COMPLETE_EVERY);
            {
                let mut index = self.cluster.index();
                if index.has_news() || (is_due && index.is_complete()) {
                    let state = index.take_state(is_due, Utc::now());
                    self.last = Some(now);
                    if state.is_complete {
                        self.last_complete = Some(now);
                    }
                    return state;
                }
            }
            let due = self.last_complete.map_or(now + COMPLETE_EVERY, |last| last + COMPLETE_EVERY);
            // It is only about when to look again.
            let _ = timeout_at(due, self.cluster.news()).await;
        }
    }

    /// The last one did not arrive: the next one is complete.
    pub fn lost(&mut self) {
        self.last_complete = None;
    }
}
