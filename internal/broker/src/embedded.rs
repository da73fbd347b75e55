//! The default broker: accepted events in one file under the data directory.
//!
//! One thread owns the file. It takes every change that waits, makes them
//! durable with one transaction and answers them all: a lone change never waits
//! for company, and a crowd shares the cost of one flush.

mod record;
mod store;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use uuid::Uuid;

use self::store::{Operation, Outcome, Store};
use crate::inbox::Inbox;
use crate::{Broker, BrokerError, Counts, DeadMessage, Message};

/// Limit of all pending events together: hundreds of thousands of releases.
/// Beyond it, [`Broker::publish`] answers [`BrokerError::Full`].
pub const MAX_PENDING_BYTES: u64 = 256 * 1024 * 1024;

/// Bounds the size of a transaction, so that the first of a crowd is not
/// answered with the last.
const MAX_BATCH: usize = 1024;

type Answer<T> = oneshot::Sender<Result<T, BrokerError>>;

enum Command {
    Change(Operation, Answer<bool>),
    Counts(Answer<Counts>),
    Pending(Answer<Vec<Message>>),
    Dead(Answer<Vec<DeadMessage>>),
}

/// Keeps accepted events on disk.
#[derive(Debug)]
pub struct Embedded {
    inbox: Arc<Inbox>,
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    keeper: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the queue in `path`, or creates it. Reads all of it: blocks for
    /// about a second per hundred thousand pending events.
    ///
    /// Nothing is ever deleted to make a damaged file work
    /// ([`BrokerError::Unreadable`]); a single event that cannot be read becomes a
    /// dead letter.
    pub fn open(path: &Path) -> Result<Self, BrokerError> {
        Self::open_up_to(path, MAX_PENDING_BYTES)
    }

    /// [`Embedded::open`] with room for so many bytes of pending events.
    pub fn open_up_to(path: &Path, capacity: u64) -> Result<Self, BrokerError> {
        let path = path.to_owned();
        Self::start(move || Store::open(&path, capacity))
    }

    fn start(open: impl Fn() -> Result<Store, BrokerError> + Send + 'static) -> Result<Self, BrokerError> {
        let inbox = Arc::new(Inbox::default());
        let (commands, waiting) = mpsc::channel();
        let mut keeper = Keeper {
            open: Box::new(open),
            store: None,
            delivered: HashSet::new(),
            inbox: Arc::clone(&inbox),
        };
        keeper.store()?;
        let keeper = std::thread::spawn(move || keeper.run(&waiting));
        Ok(Self { inbox, commands: Some(commands), keeper: Some(keeper) })
    }

    async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        if self.inbox.is_closed() {
            return Err(BrokerError::Closed);
        }
        self.change(Operation::Publish(message)).await.map(drop)
    }

    async fn change(&self, operation: Operation) -> Result<bool, BrokerError> {
        self.ask(|answer| Command::Change(operation, answer)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, BrokerError> {
        let (answer, answered) = oneshot::channel();
        if let Some(commands) = &self.commands {
            // Without a keeper the command is dropped, and with it the answer.
            let _ = commands.send(command(answer));
        }
        answered.await.unwrap_or(Err(BrokerError::Stopped))
    }
}

impl Broker for Embedded {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.publish(message).boxed()
    }

    fn receive(&self) -> BoxFuture<'_, Option<Message>> {
        self.inbox.next().boxed()
    }

    fn ack(&self, id: Uuid) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move { self.change(Operation::Ack(id)).await.map(drop) }.boxed()
    }

    fn bury(&self, id: Uuid, reason: String) -> BoxFuture<'_, Result<(), BrokerError>> {
        async move { self.change(Operation::Bury(id, reason)).await.map(drop) }.boxed()
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, BrokerError>> {
        self.ask(Command::Counts).boxed()
    }

    fn pending(&self) -> BoxFuture<'_, Result<Vec<Message>, BrokerError>> {
        self.ask(Command::Pending).boxed()
    }

    fn dead(&self) -> BoxFuture<'_, Result<Vec<DeadMessage>, BrokerError>> {
        self.ask(Command::Dead).boxed()
    }

    fn retry(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.change(Operation::Retry(id)).boxed()
    }

    fn drop_dead(&self, id: Uuid) -> BoxFuture<'_, Result<bool, BrokerError>> {
        self.change(Operation::DropDead(id)).boxed()
    }

    fn close(&self) {
        self.inbox.close();
    }
}

impl Drop for Embedded {
    /// Waits for the last transaction, so that the file is free for the next
    /// server once this one is gone.
    fn drop(&mut self) {
        self.inbox.close();
        self.commands = None;
        if let Some(keeper) = self.keeper.take() {
            // It panicked: said on standard error already, and there is nobody to tell here.
            let _ = keeper.join();
        }
    }
}

/// The thread that owns the file.
struct Keeper {
    open: Box<dyn Fn() -> Result<Store, BrokerError> + Send>,
    /// `None` after a failed transaction: what is on disk then is unknown
    /// until the file has been opened again.
    store: Option<Store>,
    /// Pending messages that went to the inbox in this life.
    delivered: HashSet<Uuid>,
    inbox: Arc<Inbox>,
}

impl Keeper {
    fn run(mut self, commands: &mpsc::Receiver<Command>) {
        while let Ok(first) = commands.recv() {
            let mut changes = Vec::new();
            let mut answers = Vec::new();
            for command in std::iter::once(first).chain(commands.try_iter()).take(MAX_BATCH) {
                match command {
                    Command::Change(operation, answer) => {
                        changes.push(operation);
                        answers.push(answer);
                    }
                    Command::Counts(answer) => reply(answer, self.store().map(|store| store.counts())),
                    Command::Pending(answer) => reply(answer, self.store().and_then(|store| store.pending())),
                    Command::Dead(answer) => reply(answer, self.store().and_then(|store| store.dead())),
                }
            }
            if !changes.is_empty() {
                self.change(changes, answers);
            }
        }
    }

    fn change(&mut self, changes: Vec<Operation>, answers: Vec<Answer<bool>>) {
        match self.store().and_then(|store| store.apply(changes)) {
            Ok(outcomes) => {
                for (outcome, answer) in outcomes.into_iter().zip(answers) {
                    reply(answer, self.conclude(outcome));
                }
            }
            Err(error) => {
                self.store = None;
                for answer in answers {
                    reply(answer, Err(error.clone()));
                }
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) -> Result<bool, BrokerError> {
        match outcome {
            Outcome::Unchanged => Ok(false),
            Outcome::Full => Err(BrokerError::Full),
            Outcome::Waiting(message) => {
                self.deliver(message);
                Ok(true)
            }
            Outcome::Gone(id) => {
                self.delivered.remove(&id);
                Ok(true)
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        if self.delivered.insert(message.id) {
            self.inbox.push(message);
        }
    }

    /// The open store. Opening it delivers what it holds: at the start all of
    /// it; after a failure what turns out to have been saved all the same.
    fn store(&mut self) -> Result<&mut Store, BrokerError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.reopen()?,
        };
        Ok(self.store.insert(store))
    }

    fn reopen(&mut self) -> Result<Store, BrokerError> {
        let store = (self.open)()?;
        let pending = store.pending()?;
        // What was settled after all may be retried or published anew one day.
        let ids: HashSet<_> = pending.iter().map(|message| message.id).collect();
        self.delivered.retain(|id| ids.contains(id));
        for message in pending {
            self.deliver(message);
        }
        Ok(store)
    }
}

fn reply<T>(answer: Answer<T>, result: Result<T, BrokerError>) {
    // Whoever asked may have given up; the change stands.
    let _ = answer.send(result);
}
