//! What the embedded broker finds again, and which files it refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, TableDefinition};
use release_broker::{Broker, BrokerError, Embedded};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{dead, message, pending, publish, publish_together, receive};

fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.redb");
    (directory, path)
}

fn open(path: &Path) -> Embedded {
    Embedded::open(path).unwrap()
}

#[tokio::test]
async fn undelivered_and_unacked_messages_come_again_in_order() {
    let (_directory, path) = file();
    {
        let broker = open(&path);
        publish(&broker, 0..6).await;
        receive(&broker, 4).await;
        broker.ack(Uuid::from_u128(1)).await.unwrap();
        broker.bury(Uuid::from_u128(2), "reason".into()).await.unwrap();
    }
    let broker = open(&path);
    assert_eq!((pending(&broker).await, dead(&broker).await), (vec![0, 3, 4, 5], vec![2]));
    publish(&broker, [6, 2, 3]).await;
    assert_eq!(receive(&broker, 5).await, [0, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_retried_letter_keeps_its_new_place_across_a_restart() {
    let (_directory, path) = file();
    {
        let broker = open(&path);
        publish(&broker, 0..3).await;
        broker.bury(Uuid::from_u128(0), "reason".into()).await.unwrap();
        assert!(broker.retry(Uuid::from_u128(0)).await.unwrap());
    }
    assert_eq!(receive(&open(&path), 3).await, [1, 2, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_order_of_a_crowd_survives_a_restart() {
    let (_directory, path) = file();
    let order = {
        let broker: Arc<dyn Broker> = Arc::new(open(&path));
        publish_together(&broker, 0..500).await.unwrap();
        receive(&*broker, 500).await
    };
    assert_eq!(receive(&open(&path), 500).await, order);
}

#[tokio::test]
async fn a_second_server_is_told_that_the_file_is_in_use() {
    let (_directory, path) = file();
    let _first = open(&path);
    let error = Embedded::open(&path).unwrap_err();
    assert!(matches!(error, BrokerError::InUse { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()));
}

#[tokio::test]
async fn a_file_that_is_no_queue_is_refused_and_left_alone() {
    for content in [vec![b'x'; 10], vec![b'x'; 100_000], b"redb".repeat(4096)] {
        let (_directory, path) = file();
        std::fs::write(&path, &content).unwrap();
        let error = Embedded::open(&path).unwrap_err();
        assert!(matches!(error, BrokerError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_queue_is_refused_unless_every_event_is_intact() {
    let (_directory, path) = file();
    publish(&open(&path), 0..200).await;
    let accepted: Vec<_> = (0..200).map(message).collect();
    let whole = std::fs::read(&path).unwrap();
    for damaged in damage(&whole) {
        std::fs::write(&path, &damaged).unwrap();
        match Embedded::open(&path) {
            Ok(broker) => assert_eq!(broker.pending().await.unwrap(), accepted),
            Err(error) => assert!(matches!(error, BrokerError::Unreadable { .. }), "{error:?}"),
        }
    }
}

/// The file cut off at some places, and with one byte changed at many.
fn damage(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cuts = [1, 100, 4096, whole.len() / 2, whole.len() - 1];
    let flips = (0..whole.len()).step_by(997).map(|position| {
        let mut damaged = whole.to_vec();
        damaged[position] ^= 0xff;
        damaged
    });
    cuts.into_iter().map(|cut| whole[..cut].to_vec()).chain(flips)
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let (directory, _) = file();
    let path = directory.path().join("absent/events.redb");
    let error = Embedded::open(&path).unwrap_err();
    assert!(matches!(error, BrokerError::Inaccessible { .. }), "{error:?}");
    assert!(error.to_string().contains("absent/events.redb"));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_becomes_a_dead_letter_and_blocks_nothing() {
    let (_directory, path) = file();
    publish(&open(&path), 0..2).await;
    insert_raw(&path, 5, b"\x07from the future");
    {
        let broker = open(&path);
        assert_eq!(receive(&broker, 2).await, [0, 1]);
        let dead = broker.dead().await.unwrap();
        assert_eq!(dead[0].message.body, b"\x07from the future");
        assert!(dead[0].reason.contains("unknown to this version"), "{}", dead[0].reason);
        assert!(!broker.retry(dead[0].message.id).await.unwrap());
    }
    let broker = open(&path);
    let dead = broker.dead().await.unwrap();
    assert_eq!((dead.len(), pending(&broker).await), (1, vec![0, 1]));
    assert!(broker.drop_dead(dead[0].message.id).await.unwrap());
    assert_eq!(broker.dead().await.unwrap(), []);
}

fn insert_raw(path: &Path, key: u64, record: &[u8]) {
    let transaction = Database::open(path).unwrap().begin_write().unwrap();
    let pending = TableDefinition::<u64, &[u8]>::new("pending");
    transaction.open_table(pending).unwrap().insert(key, record).unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn the_file_does_not_grow_with_what_was_acked() {
    let (_directory, path) = file();
    let broker: Arc<dyn Broker> = Arc::new(open(&path));
    let mut sizes = Vec::new();
    for round in 0..20 {
        let numbers = round * 500..(round + 1) * 500;
        publish_together(&broker, numbers.clone()).await.unwrap();
        let acks = numbers.map(|number| broker.ack(Uuid::from_u128(number)));
        futures::future::try_join_all(acks).await.unwrap();
        sizes.push(std::fs::metadata(&path).unwrap().len());
    }
    assert_eq!(pending(&*broker).await, []);
    assert!(sizes[10..].iter().max() <= sizes[..5].iter().max(), "{sizes:?}");
}

#[tokio::test]
async fn published_bytes_are_in_the_file_when_answered() {
    let (directory, path) = file();
    let broker = open(&path);
    publish(&broker, [1]).await;
    // What a crash at this moment would leave behind.
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(open(&copy).pending().await.unwrap(), [message(1)]);
}
