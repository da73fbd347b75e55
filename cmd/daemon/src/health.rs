//! What is wrong at the moment.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

/// Whether the server takes what it is told. Cheap to clone; clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Failing>>);

#[derive(Debug, Default)]
struct Failing {
    /// What was tried and did not arrive.
    events: HashSet<Uuid>,
    /// The one of them that the log names, and why.
    named: Option<(Uuid, String)>,
}

impl Health {
    /// Logs one event for all that fail, not each attempt. That others arrive says nothing about it.
    pub(crate) fn away(&self, event: Uuid, reason: &str) {
        let mut failing = self.lock();
        failing.events.insert(event);
        match &mut failing.named {
            Some((named, known)) if *named == event => reason.clone_into(known),
            Some(_) => {}
            named => {
                *named = Some((event, reason.to_owned()));
                tracing::warn!(%event, reason, "the server cannot be told; trying again");
            }
        }
    }

    /// The server has taken this one.
    pub(crate) fn well(&self, event: Uuid) {
        let mut failing = self.lock();
        failing.named.take_if(|(named, _)| *named == event);
        if failing.events.remove(&event) && failing.events.is_empty() {
            tracing::info!("the server is told again");
        }
    }

    /// A sentence, if something is wrong.
    pub(crate) fn problem(&self) -> Option<String> {
        let failing = self.lock();
        let (event, reason) = failing.named.as_ref()?;
        Some(format!("the server cannot be told of event {event}: {reason}"))
    }

    fn lock(&self) -> MutexGuard<'_, Failing> {
        // It is whole after each step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_that_fails_stays_a_problem_while_others_arrive() {
        let (stuck, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let names =
            |health: &Health, event: Uuid| health.problem().is_some_and(|it| it.contains(&event.to_string()));
        let health = Health::default();
        health.away(stuck, "500");
        health.well(other);
        assert!(names(&health, stuck));
        health.away(other, "away");
        assert!(names(&health, stuck));
        health.well(stuck);
        health.away(other, "away");
        assert!(names(&health, other), "the next one is named");
        health.well(other);
        assert_eq!(health.problem(), None);
    }
}
