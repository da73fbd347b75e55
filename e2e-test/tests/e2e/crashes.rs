//! SIGKILL at every step of a release and at random moments, under load.

pub(crate) mod load;
mod traps;

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use release_testing::origin::Origin;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{History, Server, Setup, WorkingCopy};
use load::{Client, Load, Told};
use traps::{Step, Traps};

/// Six steps, so many times each, and the random ones make 105 kills.
const KILLS_AT_EACH_STEP: usize = 10;
const KILLS_AT_RANDOM: usize = 45;
/// A release takes less from its request to its acknowledgement.
const LONGEST_LIFE: Duration = Duration::from_millis(250);
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_accepted_release_and_makes_none_twice() {
    let origin = Origin::new();
    let traps = Traps::new(&origin);
    let setup = Setup { path: Some(&traps.programs()), ..Setup::default() };
    let mut server = Server::start_with(&origin, &setup).await;
    traps.are_for(&server);
    let mut unread = Client::new(&server, "unread").await;
    let mut answered = Client::new(&server, "answered").await;
    let load = Load::start(&server, CLIENTS).await;

    for _ in 0..KILLS_AT_EACH_STEP {
        for step in Step::ALL {
            traps.set(step);
            server.ended(&format!("the server is killed {step:?}")).await;
            server.restart().await;
        }
        kill_before_the_answer_is_read(&mut server, &mut unread).await;
        kill_after_the_answer(&mut server, &mut answered).await;
    }
    kill_at_random_moments(&mut server).await;

    let mut told = load.stop().await;
    told.extend([unread.told, answered.told]);
    server.drained().await;
    check(&server, &origin, &told, 0).await;
    assert_eq!(server.terminate().await.code(), Some(0));
}

/// The request is sent as a whole and its answer never read; then it is sent again.
async fn kill_before_the_answer_is_read(server: &mut Server, client: &mut Client) {
    let order = client.next();
    let mut stream = TcpStream::connect(("localhost", server.port())).await.expect("a connection");
    stream.write_all(&server.order_on_the_wire(&order)).await.expect("the request is sent");
    server.kill();
    server.restart().await;
    client.insist(&order).await;
}

async fn kill_after_the_answer(server: &mut Server, client: &mut Client) {
    let order = client.next();
    client.send(&order).await.expect("an answer");
    server.kill();
    server.restart().await;
}

async fn kill_at_random_moments(server: &mut Server) {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let lives: Vec<_> = (0..KILLS_AT_RANDOM).map(|_| LONGEST_LIFE.mul_f64(random.random())).collect();
    server.note(&format!("random lives of the server from seed {seed}: {lives:?}"));
    for life in lives {
        tokio::time::sleep(life).await;
        server.kill();
        server.restart().await;
    }
}

/// Every release that somebody was promised is one commit, and the last one of each runs.
/// `others` is how many more releases there may be.
pub(crate) async fn check(server: &Server, origin: &Origin, told: &[Told], others: usize) {
    let history = History::of(origin);
    let commits = history.releases();
    assert!(commits.values().all(|count| *count == 1), "twice: {commits:#?}");
    let accepted: BTreeSet<_> = told.iter().flat_map(|told| told.accepted.iter().copied()).collect();
    for release in &accepted {
        let status = server.get(&format!("/api/v1/releases/{release}")).await.body;
        assert_eq!(status["state"], "released", "{status}");
        assert_eq!(status["commit"], history.commit_of(*release), "{status}");
    }
    let uncertain: usize = told.iter().map(|told| told.uncertain).sum();
    assert!(commits.len() <= accepted.len() + uncertain + others, "commits that nobody asked for");

    let copy = WorkingCopy::of(origin);
    for last in told.iter().map(|told| told.last.as_ref().expect("something was answered")) {
        let found = copy.files(&format!("dev/releases/dev/{}", last.service()));
        assert_eq!(found, last.directory("dev"), "{} does not run {}", last.service(), last.id());
    }
    origin.assert_clean();
}
