//! What only shows from inside: a full queue of a size a test can fill, and a
//! disk that fails.

use std::fs::OpenOptions;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
        trace: None,
        lease: crate::Lease::default(),
    }
}

async fn receive(broker: &Embedded) -> Option<Message> {
    tokio::time::timeout(Duration::from_secs(30), broker.receive()).await.expect("a delivery")
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
    let writes_left = Arc::new(AtomicU64::new(u64::MAX));
    let disk = Arc::clone(&writes_left);
    let broker = Embedded::start(move || Store::load(&path, open_on_disk(&path, &disk), 1 << 20)).unwrap();
    let mut failures = 0;
    for number in 0..30 {
        // Fails at a later step of the transaction each time; at last at none.
        writes_left.store(number, Ordering::Relaxed);
        let message = message(number.into());
        if let Err(error) = broker.publish(message.clone()).await {
            assert!(matches!(error, BrokerError::Save { .. }), "{error:?}");
            failures += 1;
        }
        writes_left.store(u64::MAX, Ordering::Relaxed);
        broker.publish(message.clone()).await.unwrap();
        assert_eq!(receive(&broker).await, Some(message.clone()), "not lost, and nothing else comes again");
        assert_eq!(broker.pending().await.unwrap(), std::slice::from_ref(&message));

        writes_left.store(number, Ordering::Relaxed);
        let _ = broker.bury(message.id, "reason".into()).await;
        writes_left.store(u64::MAX, Ordering::Relaxed);
        broker.bury(message.id, "reason".into()).await.unwrap();
        assert!(broker.retry(message.id).await.unwrap());
        assert_eq!(receive(&broker).await, Some(message.clone()), "a retried letter is delivered again");

        writes_left.store(number, Ordering::Relaxed);
        let _ = broker.ack(message.id).await;
        writes_left.store(u64::MAX, Ordering::Relaxed);
        broker.ack(message.id).await.unwrap();
        assert_eq!(broker.pending().await.unwrap(), []);
    }
    assert!((3..30).contains(&failures), "{failures}");
}

fn open_on_disk(path: &Path, writes_left: &Arc<AtomicU64>) -> Database {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let disk = Disk { file: FileBackend::new(file).unwrap(), writes_left: Arc::clone(writes_left) };
    Database::builder().create_with_backend(disk).unwrap()
}

/// A file on a disk that fails after some more writes.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    writes_left: Arc<AtomicU64>,
}

impl Disk {
    fn spend(&self) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(1);
        match self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
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
        self.spend()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.spend()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
