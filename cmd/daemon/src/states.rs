//! Tells the server what is there right now. The newest counts, so none is kept.

use std::{sync::Arc, time::Duration};

use release_cluster::States;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    health::Health,
    pauses::Pauses,
    target::{Target, TellError},
};

/// How long a server that takes no states is left alone. It may be replaced by a newer one, or it was not the
/// server that answered.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// States have no id that would mean anything later.
const STATE: Uuid = Uuid::nil();

/// Never returns.
pub(crate) async fn tell(mut states: States, target: Arc<Target>, health: Health) {
    let mut telling = Telling::new(health);
    loop {
        let state = states.next().await;
        if let Some(pause) = telling.pause_after(target.tell_state(state).await) {
            states.lost();
            sleep(pause).await;
        }
    }
}

struct Telling {
    health: Health,
    pauses: Pauses,
    is_unsupported: bool,
}

impl Telling {
    fn new(health: Health) -> Self {
        Self { health, pauses: Pauses::new(), is_unsupported: false }
    }

    /// `None`: it has arrived.
    fn pause_after(&mut self, told: Result<(), TellError>) -> Option<Duration> {
        match told {
            Ok(()) => {
                self.health.well(STATE);
                *self = Self::new(self.health.clone());
                return None;
            }
            Err(TellError::Unsupported) => {
                self.health.well(STATE);
                if !std::mem::replace(&mut self.is_unsupported, true) {
                    tracing::info!(
                        "the server does not take the state of a cluster; it is told of happenings only, and asked \
                         again every five minutes"
                    );
                }
                return Some(LOOK_AGAIN);
            }
            Err(TellError::Refused(reason)) => {
                tracing::error!(reason, "the server refuses the state of the cluster");
            }
            Err(TellError::Away(reason)) => self.health.away(STATE, &reason),
        }
        Some(self.pauses.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_the_endpoint_is_asked_again_and_told_when_it_has_it() {
        let health = Health::default();
        let mut telling = Telling::new(health.clone());
        for _ in 0..3 {
            assert_eq!(telling.pause_after(Err(TellError::Unsupported)), Some(LOOK_AGAIN));
            assert_eq!(health.problem(), None);
        }
        assert_eq!(telling.pause_after(Ok(())), None);
        assert!(!telling.is_unsupported, "the next time is logged again");
        assert!(telling.pause_after(Err(TellError::Away("gone".into()))).unwrap() < LOOK_AGAIN);
        assert!(health.problem().is_some());
    }
}
