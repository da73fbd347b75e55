//! Tells the server what is there right now. The newest counts, so none is kept.

use std::sync::Arc;

use release_cluster::States;
use tokio::time::sleep;

use crate::{
    health::Health,
    pauses::Pauses,
    target::{Target, TellError},
};

/// Never returns.
pub(crate) async fn tell(mut states: States, target: Arc<Target>, health: Health) {
    let mut pauses = Pauses::new();
    loop {
        let state = states.next().await;
        match target.tell_state(state).await {
            Ok(()) => {
                health.well();
                pauses.reset();
                continue;
            }
            Err(TellError::Unsupported) => {
                tracing::info!(
                    "the server does not take the state of a cluster; it is told of happenings only"
                );
                return std::future::pending().await;
            }
            Err(TellError::Refused(reason)) => {
                tracing::error!(reason, "the server refuses the state of the cluster");
            }
            Err(TellError::Away(reason)) => health.away(&reason),
        }
        states.lost();
        sleep(pauses.next()).await;
    }
}
