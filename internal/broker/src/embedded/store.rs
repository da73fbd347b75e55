//! The file: pending messages and dead letters, each under a number that only
//! grows, so that the order of acceptance survives restarts.

use std::collections::HashMap;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable, StorageError, Table, TableDefinition,
};
use uuid::Uuid;

use super::record;
use crate::{BrokerError, Counts, DeadMessage, Message};

const PENDING: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("pending");
const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead");

/// Far more than the live part of a busy queue; redb's own default is 1 GiB.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A change that a caller asked for.
#[derive(Debug)]
pub(super) enum Operation {
    Publish(Message),
    Ack(Uuid),
    Bury(Uuid, String),
    Retry(Uuid),
    DropDead(Uuid),
}

/// What became of an [`Operation`].
#[derive(Debug)]
pub(super) enum Outcome {
    /// There was nothing to change.
    Unchanged,
    /// The message is pending and has to be delivered.
    Waiting(Message),
    /// The message is no longer pending.
    Gone(Uuid),
    /// The message was not accepted.
    Full,
}

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Database,
    index: Index,
}

/// Where each message is. Rebuilt when the file is opened; not part of it, so
/// that a publish touches as few pages as possible.
#[derive(Debug)]
struct Index {
    places: HashMap<Uuid, Place>,
    next_key: u64,
    pending_bytes: u64,
    /// Limit of `pending_bytes`.
    capacity: u64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Pending { key: u64, bytes: u64 },
    Dead { key: u64 },
}

struct Tables<'t> {
    pending: Table<'t, u64, &'static [u8]>,
    dead: Table<'t, u64, &'static [u8]>,
}

impl Store {
    /// Opens the file or creates it. `capacity` limits the size of all pending
    /// records together, in bytes.
    pub(super) fn open(path: &Path, capacity: u64) -> Result<Self, BrokerError> {
        // redb panics on some damaged files.
        catch_unwind(|| Self::open_or_panic(path, capacity)).unwrap_or_else(|_| {
            let source = Arc::new(redb::Error::Corrupted("the file is damaged".to_owned()));
            Err(BrokerError::Unreadable { path: path.to_owned(), source })
        })
    }

    fn open_or_panic(path: &Path, capacity: u64) -> Result<Self, BrokerError> {
        let mut database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|source| open_error(path, source))?;
        // Without it, damage inside a record would execute another event than was accepted.
        if !database.check_integrity().map_err(|source| open_error(path, source))? {
            tracing::warn!(path = %path.display(), "the file of accepted events was repaired");
        }
        sync_directory(path).map_err(|source| BrokerError::Inaccessible {
            path: path.to_owned(),
            source: Arc::new(source),
        })?;
        Self::load(path, database, capacity)
    }

    pub(super) fn load(path: &Path, database: Database, capacity: u64) -> Result<Self, BrokerError> {
        let index = Index::build(&database, capacity).map_err(|source| index_error(path, source))?;
        Ok(Self { path: path.to_owned(), database, index })
    }

    /// Makes all changes durable in one transaction, or none of them. After an
    /// error the store has to be opened again: what it knows and what the file
    /// says may differ.
    pub(super) fn apply(&mut self, operations: Vec<Operation>) -> Result<Vec<Outcome>, BrokerError> {
        self.transact(operations).map_err(|source| self.save_error(source))
    }

    fn transact(&mut self, operations: Vec<Operation>) -> Result<Vec<Outcome>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut tables =
            Tables { pending: transaction.open_table(PENDING)?, dead: transaction.open_table(DEAD)? };
        let index = &mut self.index;
        let outcomes: Vec<_> = operations
            .into_iter()
            .map(|operation| index.apply(operation, &mut tables))
            .collect::<Result<_, _>>()?;
        drop(tables);
        if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unchanged | Outcome::Full)) {
            transaction.abort()?;
        } else {
            transaction.commit()?;
        }
        Ok(outcomes)
    }

    pub(super) fn counts(&self) -> Counts {
        let places = self.index.places.values();
        let pending = places.filter(|place| matches!(place, Place::Pending { .. })).count();
        Counts { pending, dead: self.index.places.len() - pending }
    }

    pub(super) fn pending(&self) -> Result<Vec<Message>, BrokerError> {
        // What cannot be decoded was buried when the file was opened.
        self.read(PENDING, |record| record::decode(record).ok())
    }

    pub(super) fn dead(&self) -> Result<Vec<DeadMessage>, BrokerError> {
        self.read(DEAD, |record| Some(record::decode_dead(record)))
    }

    fn read<T>(
        &self,
        table: TableDefinition<'_, u64, &'static [u8]>,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, BrokerError> {
        let read = || -> Result<Vec<T>, redb::Error> {
            let table = self.database.begin_read()?.open_table(table)?;
            let mut found = Vec::new();
            for row in table.iter()? {
                found.extend(decode(row?.1.value()));
            }
            Ok(found)
        };
        read().map_err(|source| index_error(&self.path, source))
    }

    fn save_error(&self, source: redb::Error) -> BrokerError {
        BrokerError::Save { path: self.path.clone(), source: Arc::new(source) }
    }
}

impl Index {
    fn build(database: &Database, capacity: u64) -> Result<Self, redb::Error> {
        let mut index = Self { places: HashMap::new(), next_key: 0, pending_bytes: 0, capacity };
        let transaction = database.begin_write()?;
        let mut tables =
            Tables { pending: transaction.open_table(PENDING)?, dead: transaction.open_table(DEAD)? };
        index.add_dead(&tables.dead)?;
        let unreadable = index.add_pending(&tables.pending)?;
        for (key, error) in unreadable {
            tracing::warn!(key, %error, "an accepted event cannot be read and was made a dead letter");
            index.bury_record(key, &format!("the event cannot be read: {error}"), &mut tables)?;
        }
        drop(tables);
        transaction.commit()?;
        Ok(index)
    }

    fn add_dead(&mut self, table: &impl ReadableTable<u64, &'static [u8]>) -> Result<(), redb::Error> {
        for row in table.iter()? {
            let (key, record) = row?;
            let id = record::decode_dead(record.value()).message.id;
            self.places.insert(id, Place::Dead { key: key.value() });
            self.next_key = self.next_key.max(key.value() + 1);
        }
        Ok(())
    }

    /// Returns the keys of the records that cannot be read.
    fn add_pending(
        &mut self,
        table: &impl ReadableTable<u64, &'static [u8]>,
    ) -> Result<Vec<(u64, record::RecordError)>, redb::Error> {
        let mut unreadable = Vec::new();
        for row in table.iter()? {
            let (key, record) = row?;
            self.next_key = self.next_key.max(key.value() + 1);
            match record::decode(record.value()) {
                Ok(message) => self.put_pending(message.id, key.value(), record.value()),
                Err(error) => unreadable.push((key.value(), error)),
            }
        }
        Ok(unreadable)
    }

    fn apply(&mut self, operation: Operation, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        match operation {
            Operation::Publish(message) => self.publish(message, tables),
            Operation::Ack(id) => self.ack(id, tables),
            Operation::Bury(id, reason) => self.bury(id, &reason, tables),
            Operation::Retry(id) => self.retry(id, tables),
            Operation::DropDead(id) => self.drop_dead(id, tables),
        }
    }

    fn publish(&mut self, message: Message, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        if self.places.contains_key(&message.id) {
            return Ok(Outcome::Unchanged);
        }
        let record = record::encode(&message);
        self.enqueue(message, &record, tables)
    }

    fn enqueue(
        &mut self,
        message: Message,
        record: &[u8],
        tables: &mut Tables<'_>,
    ) -> Result<Outcome, StorageError> {
        if self.pending_bytes + record.len() as u64 > self.capacity {
            return Ok(Outcome::Full);
        }
        let key = self.take_key();
        tables.pending.insert(key, record)?;
        self.put_pending(message.id, key, record);
        Ok(Outcome::Waiting(message))
    }

    fn ack(&mut self, id: Uuid, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        let Some(key) = self.take_pending(id) else {
            return Ok(Outcome::Unchanged);
        };
        tables.pending.remove(key)?;
        Ok(Outcome::Gone(id))
    }

    fn bury(&mut self, id: Uuid, reason: &str, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        let Some(key) = self.take_pending(id) else {
            return Ok(Outcome::Unchanged);
        };
        self.bury_record(key, reason, tables)?;
        Ok(Outcome::Gone(id))
    }

    fn bury_record(&mut self, key: u64, reason: &str, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let Some(letter) =
            tables.pending.remove(key)?.map(|record| record::encode_dead(record.value(), reason, Utc::now()))
        else {
            return Ok(());
        };
        let key = self.take_key();
        tables.dead.insert(key, letter.as_slice())?;
        self.places.insert(record::decode_dead(&letter).message.id, Place::Dead { key });
        Ok(())
    }

    fn retry(&mut self, id: Uuid, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        let Some(&Place::Dead { key }) = self.places.get(&id) else {
            return Ok(Outcome::Unchanged);
        };
        let letter = tables.dead.get(key)?.map(|record| record.value().to_vec()).unwrap_or_default();
        let Ok((message, record)) = record::revive(&letter) else {
            return Ok(Outcome::Unchanged);
        };
        let outcome = self.enqueue(message, record, tables)?;
        if matches!(outcome, Outcome::Waiting(_)) {
            tables.dead.remove(key)?;
        }
        Ok(outcome)
    }

    fn drop_dead(&mut self, id: Uuid, tables: &mut Tables<'_>) -> Result<Outcome, StorageError> {
        let Some(&Place::Dead { key }) = self.places.get(&id) else {
            return Ok(Outcome::Unchanged);
        };
        self.places.remove(&id);
        tables.dead.remove(key)?;
        Ok(Outcome::Gone(id))
    }

    fn take_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    fn put_pending(&mut self, id: Uuid, key: u64, record: &[u8]) {
        let bytes = record.len() as u64;
        self.pending_bytes += bytes;
        self.places.insert(id, Place::Pending { key, bytes });
    }

    fn take_pending(&mut self, id: Uuid) -> Option<u64> {
        let &Place::Pending { key, bytes } = self.places.get(&id)? else {
            return None;
        };
        self.pending_bytes -= bytes;
        self.places.remove(&id);
        Some(key)
    }
}

/// Makes a new file's name durable, not only its content.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn open_error(path: &Path, source: DatabaseError) -> BrokerError {
    match source {
        DatabaseError::DatabaseAlreadyOpen => BrokerError::InUse { path: path.to_owned() },
        other => index_error(path, other.into()),
    }
}

/// Tells a file whose content is wrong from one that cannot be reached now.
fn index_error(path: &Path, source: redb::Error) -> BrokerError {
    let path = path.to_owned();
    match &source {
        redb::Error::Io(cause) if !is_about_content(cause.kind()) => {
            BrokerError::Inaccessible { path, source: Arc::new(source) }
        }
        _ => BrokerError::Unreadable { path, source: Arc::new(source) },
    }
}

fn is_about_content(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput)
}
