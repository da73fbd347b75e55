//! Kills a process that publishes and acks as fast as it can, and compares
//! what it was answered with what the file holds.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::RngExt as _;
use release_broker::{Broker, Embedded};
use uuid::Uuid;

use crate::{message, numbers};

const KILLS: u32 = 40;
const PUBLISHERS: u128 = 4;
/// Number `publisher * STRIDE + n` is the n-th message of a publisher.
const STRIDE: u128 = 1 << 64;

const FILE: &str = "BROKER_CRASH_FILE";
const FIRST: &str = "BROKER_CRASH_FIRST";

/// Everything that was attempted and answered, over all lives.
#[derive(Default)]
struct Account {
    published: HashSet<u128>,
    ack_tried: HashSet<u128>,
    acked: HashSet<u128>,
}

#[tokio::test]
async fn kill_at_any_moment_loses_nothing_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.redb");
    let mut account = Account::default();
    for life in 0..KILLS {
        live_and_die(&path, life, &mut account);
        account.check(&Embedded::open(&path).unwrap()).await;
    }
    assert!(account.acked.len() > KILLS as usize, "the load did next to nothing");
}

/// Runs the load in a child process and kills it after a random number of
/// answers.
fn live_and_die(path: &Path, life: u32, account: &mut Account) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::load", "--ignored", "--nocapture"])
        .env(FILE, path)
        .env(FIRST, (u128::from(life) << 32).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let answers = rand::rng().random_range(1..400);
    for line in lines.by_ref().take(answers) {
        account.note(&line);
    }
    child.kill().unwrap();
    lines.for_each(|line| account.note(&line));
    assert!(!child.wait().unwrap().success(), "the load ended by itself");
}

impl Account {
    fn note(&mut self, line: &str) {
        let Some((what, number)) = line.split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        match what {
            "published" => assert!(self.published.insert(number), "published {number} twice"),
            "acking" => assert!(
                self.ack_tried.insert(number) || !self.acked.contains(&number),
                "{number} came again after its ack"
            ),
            "acked" => drop(self.acked.insert(number)),
            _ => {}
        }
    }

    async fn check(&self, broker: &Embedded) {
        let pending = numbers(&broker.pending().await.unwrap());
        let present: HashSet<_> = pending.iter().copied().collect();
        assert_eq!(present.len(), pending.len(), "a message is there twice");
        for number in self.published.difference(&self.ack_tried) {
            assert!(present.contains(number), "{number} was accepted and is lost");
        }
        for number in &self.acked {
            assert!(!present.contains(number), "{number} was acked and is back");
        }
        assert_in_order(&pending);
    }
}

fn assert_in_order(pending: &[u128]) {
    let mut last = BTreeMap::new();
    for number in pending {
        let before = last.insert(number / STRIDE, number);
        assert!(before < Some(number), "{number} overtook {before:?}");
    }
}

/// The child: endless publishes, and acks of every second message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as the child of the crash test"]
async fn load() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let first: u128 = std::env::var(FIRST).unwrap().parse().unwrap();
    let broker = Arc::new(Embedded::open(Path::new(&path)).unwrap());
    for publisher in 0..PUBLISHERS {
        tokio::spawn(publish_on(Arc::clone(&broker), publisher * STRIDE + first));
    }
    let mut seen = HashSet::new();
    while let Some(message) = broker.receive().await {
        assert!(seen.insert(message.id), "delivered twice in one life");
        if message.id.as_u128() % 2 == 0 {
            tokio::spawn(ack(Arc::clone(&broker), message.id));
        }
    }
}

async fn publish_on(broker: Arc<Embedded>, first: u128) {
    for number in first.. {
        broker.publish(message(number)).await.unwrap();
        say("published", number);
    }
}

async fn ack(broker: Arc<Embedded>, id: Uuid) {
    say("acking", id.as_u128());
    broker.ack(id).await.unwrap();
    say("acked", id.as_u128());
}

/// Straight to the pipe, one write per line: the test harness captures print.
fn say(what: &str, number: u128) {
    let line = format!("{what} {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}
