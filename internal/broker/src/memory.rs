//! The volatile broker: accepted events live as long as the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::inbox::Inbox;
use crate::{Broker, BrokerError, Counts, DeadMessage, Message};

/// Keeps accepted events in memory, for tests and trials.
#[derive(Debug)]
pub struct Memory {
    capacity: usize,
    inbox: Inbox,
    letters: Mutex<Letters>,
}

// Searched from the front, where the message to ack nearly always is.
#[derive(Debug, Default)]
struct Letters {
    pending: Vec<Message>,
    dead: Vec<DeadMessage>,
}

impl Memory {
    /// Holds at most `capacity` pending messages.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inbox: Inbox::default(), letters: Mutex::default() }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        // No change can panic halfway, so poisoned letters are whole letters.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, message: Message) -> Result<(), BrokerError> {
        let mut letters = self.letters();
        if self.inbox.is_closed() {
            return Err(BrokerError::Closed);
        }
        if letters.knows(message.id) {
            return Ok(());
        }
        self.enqueue(&mut letters, message)
    }

    fn enqueue(&self, letters: &mut Letters, message: Message) -> Result<(), BrokerError> {
        if letters.pending.len() >= self.capacity {
            return Err(BrokerError::Full);
        }
        letters.pending.push(message.clone());
        self.inbox.push(message);
        Ok(())
    }

    fn revive(&self, id: Uuid) -> Result<bool, BrokerError> {
        let mut letters = self.letters();
        let Some(index) = letters.dead.iter().position(|dead| dead.message.id == id) else {
            return Ok(false);
        };
        let message = letters.dead[index].message.clone();
        self.enqueue(&mut letters, message)?;
        letters.dead.remove(index);
        Ok(true)
    }
}

impl Letters {
    fn knows(&self, id: Uuid) -> bool {
        self.pending.iter().any(|message| message.id == id)
            || self.dead.iter().any(|dead| dead.message.id == id)
    }

    fn take_pending(&mut self, id: Uuid) -> Option<Message> {
        let index = self.pending.iter().position(|message| message.id == id)?;
        Some(self.pending.remove(index))
    }

    fn bury(&mut self, id: Uuid, reason: String) {
        if let Some(message) = self.take_pending(id) {
            self.dead.push(DeadMessage { message, reason, buried_at: Utc::now() });
        }
    }

    fn drop_dead(&mut self, id: Uuid) -> bool {
        let before = self.dead.len();
        self.dead.retain(|dead| dead.message.id != id);
        self.dead.len() < before
    }
}

impl Broker for Memory {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        async { self.accept(message) }.boxed()
    }

    fn receive(&self) -> BoxFuture<'_, Option<Message>> {
        self.inbox.next().boxed()
    }

    fn ack(&self, id: Uuid) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            self.letters().take_pending(id);
            Ok(())
        }
        .boxed()
    }

    fn bury(&self, id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move {
            self.letters().bury(id, reason);
            Ok(())
        }
        .boxed()
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>> {
        async move {
            let letters = self.letters();
            Ok(Counts { pending: letters.pending.len(), dead: letters.dead.len() })
        }
        .boxed()
    }

    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>> {
        async move { Ok(self.letters().pending.clone()) }.boxed()
    }

    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>> {
        async move { Ok(self.letters().dead.clone()) }.boxed()
    }

    fn retry(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        async move { self.revive(id) }.boxed()
    }

    fn drop_dead(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        async move { Ok(self.letters().drop_dead(id)) }.boxed()
    }

    fn close(&self) {
        self.inbox.close();
    }
}
