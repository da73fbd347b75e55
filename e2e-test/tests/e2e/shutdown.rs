//! SIGTERM: an orderly end that keeps what was accepted.

use std::time::Instant;

use futures::{StreamExt as _, stream::FuturesUnordered};
use release_testing::origin::Origin;

use crate::{
    harness::{Audience, History, Order, Server},
    outages::{all_land, prepared_server, release_all, until_ready_says},
};

/// The flag of the servers in these tests is 10 s; a machine that is busy gets a little more.
const SHUTDOWN_LIMIT_SECONDS: u64 = 15;
const IN_FLIGHT: usize = 100;

async fn stop_in_time(server: &mut Server) {
    let started = Instant::now();
    let status = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(started.elapsed().as_secs() < SHUTDOWN_LIMIT_SECONDS, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_while_its_remote_is_away_keeps_what_it_accepted() {
    let origin = Origin::new();
    let mut server = prepared_server(&origin).await;
    origin.go_away();
    let mut releases = release_all(&server).await;
    until_ready_says(&server, "cannot be fetched").await;
    stop_in_time(&mut server).await;

    // It also starts without a remote, reads, and accepts more.
    server.restart_without_remote().await;
    assert_eq!(server.get("/status?service=service-1").await.status, 200);
    let later = Order::new("service-1", "prod", "master-2-new");
    releases.push(server.accepted(&later).await);
    stop_in_time(&mut server).await;

    origin.come_back();
    server.restart().await;
    all_land(&server, &origin, &releases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_while_its_remote_hangs_keeps_what_it_accepted() {
    let origin = Origin::new();
    let mut server = prepared_server(&origin).await;
    origin.set_hook("pre-receive", "sleep 60");
    let releases = release_all(&server).await;
    stop_in_time(&mut server).await;

    origin.remove_hook("pre-receive");
    server.restart().await;
    all_land(&server, &origin, &releases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_under_load_keeps_what_it_accepted() {
    let origin = Origin::new();
    let mut server = Server::start(&origin).await;
    for number in 0..IN_FLIGHT {
        server.push_new(&format!("service-{number}"), "master-1-2").await;
    }
    let caller = server.caller(Audience::Hamctl);
    let orders = (0..IN_FLIGHT).map(|number| Order::new(&format!("service-{number}"), "dev", "master-1-2"));
    let mut answers: FuturesUnordered<_> = orders
        .map(|order| {
            let caller = caller.clone();
            async move { caller.order(&order).await }
        })
        .collect();
    let first = answers.next().await.expect("an answer").expect("an answer");
    let (stopped, rest) = tokio::join!(server.terminate(), answers.collect::<Vec<_>>());
    assert_eq!(stopped.code(), Some(0));

    // Whoever was not answered was refused or never heard.
    let answered = rest.into_iter().filter_map(Result::ok).chain([first]);
    let (accepted, refused): (Vec<_>, Vec<_>) = answered.partition(|answer| answer.status == 200);
    assert!(refused.iter().all(|answer| answer.status == 503), "{refused:?}");
    server.restart().await;
    server.drained().await;
    let history = History::of(&origin);
    for answer in &accepted {
        history.commit_of(answer.release_id().expect("an accepted release"));
    }
    origin.assert_clean();
}
