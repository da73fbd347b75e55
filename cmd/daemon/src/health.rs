//! What is wrong at the moment.

use std::sync::{Arc, Mutex, PoisonError};

/// Whether the server takes what it is told. Cheap to clone; clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// Logs the change, not each attempt.
    pub(crate) fn away(&self, reason: &str) {
        let before = self.replace(Some(reason.to_owned()));
        if before.is_none() {
            tracing::warn!(reason, "the server cannot be told; trying again");
        }
    }

    pub(crate) fn well(&self) {
        if self.replace(None).is_some() {
            tracing::info!("the server is told again");
        }
    }

    /// A sentence, if something is wrong.
    pub(crate) fn problem(&self) -> Option<String> {
        let reason = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reason.as_ref().map(|reason| format!("the server cannot be told: {reason}"))
    }

    fn replace(&self, reason: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), reason)
    }
}
