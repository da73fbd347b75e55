//! What only shows from inside: a full queue of a size a test can fill, and a
//! disk that fails.

use std::fs::OpenOptions;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::DateTime;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::*;

fn message(number: u128) -> Message {
    Message {
        id: Uuid::from_u128(number),
        kind: "release.artifactId".to_owned(),
        correlation_id: String::new(),
        accepted_at: DateTime::UNIX_EPOCH,
        body: vec![b' '; 1000],
    }
}

#[tokio::test]
async fn a_full_queue_refuses_until_something_is_acked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.redb");
    let broker = Embedded::start(move || Store::open(&path, 3000)).unwrap();
    for number in 0..2 {
        broker.publish(message(number)).await.unwrap();
    }
    assert!(matches!(broker.publish(message(2)).await, Err(BrokerError::Full)));
    broker.publish(message(1)).await.unwrap();
    broker.bury(Uuid::from_u128(0), "reason".into()).await.unwrap();
    broker.publish(message(2)).await.unwrap();
    assert!(matches!(broker.retry(Uuid::from_u128(0)).await, Err(BrokerError::Full)));
    assert_eq!(broker.dead().await.unwrap().len(), 1, "a refused retry keeps the letter");
    broker.ack(Uuid::from_u128(1)).await.unwrap();
    assert!(broker.retry(Uuid::from_u128(0)).await.unwrap());
}

#[tokio::test]
async fn a_disk_that_fails_for_a_while_costs_errors_but_no_events() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.redb");
    let fails = Arc::new(AtomicBool::new(false));
    let disk = Arc::clone(&fails);
    let broker = Embedded::start(move || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let backend = Disk { file: FileBackend::new(file).unwrap(), fails: Arc::clone(&disk) };
        Store::load(&path, Database::builder().create_with_backend(backend).unwrap(), 1 << 20)
    })
    .unwrap();
    broker.publish(message(0)).await.unwrap();
    assert_eq!(broker.receive().await, Some(message(0)));

    fails.store(true, Ordering::Relaxed);
    let error = broker.publish(message(1)).await.unwrap_err();
    assert!(matches!(error, BrokerError::Save { .. }), "{error:?}");
    fails.store(false, Ordering::Relaxed);

    broker.ack(Uuid::from_u128(0)).await.unwrap();
    for number in 1..3 {
        broker.publish(message(number)).await.unwrap();
    }
    assert_eq!(broker.receive().await, Some(message(1)));
    assert_eq!(broker.receive().await, Some(message(2)));
    assert_eq!(broker.pending().await.unwrap(), [message(1), message(2)]);
}

/// A file on a disk that can be full.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    fails: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
