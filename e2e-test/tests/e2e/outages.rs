//! The remote is away, says no, hangs, or is rewritten. What is a minute in the field is seconds here.

use std::time::{Duration, Instant};

use release_testing::origin::{BRANCH, Origin};
use uuid::Uuid;

use crate::harness::{Audience, History, LONG, Order, SHORT, Server, Setup, WorkingCopy, until};

const SERVICES: usize = 10;
/// Looks at the remote often, and does not wait long for it.
const FLAGS: [&str; 4] =
    ["--git-poll-interval=200ms", "--git-timeout=2s", "--shutdown-timeout=10s", "--timeout=10s"];
/// A read takes milliseconds; an outage must not make it wait for the remote's timeout.
const QUICK: Duration = Duration::from_secs(1);

/// A server that runs one artifact of each service and has another one of each.
pub(crate) async fn prepared_server(origin: &Origin) -> Server {
    let server = Server::start_with(origin, &Setup { flags: &FLAGS, ..Setup::default() }).await;
    for service in services() {
        server.push_new(&service, "master-1-old").await;
        server.push_new(&service, "master-2-new").await;
        server.accepted(&Order::new(&service, "dev", "master-1-old")).await;
    }
    server.drained().await;
    server
}

pub(crate) fn services() -> impl Iterator<Item = String> {
    (0..SERVICES).map(|number| format!("service-{number}"))
}

/// Releases the other artifact of each service; every request is answered as on a good day.
pub(crate) async fn release_all(server: &Server) -> Vec<Uuid> {
    let mut releases = Vec::new();
    for service in services() {
        let started = Instant::now();
        releases.push(server.accepted(&Order::new(&service, "dev", "master-2-new")).await);
        assert!(started.elapsed() < QUICK, "a release was accepted after {:?}", started.elapsed());
    }
    releases
}

pub(crate) async fn until_ready_says(server: &Server, problem: &str) {
    until(&format!("/ready says '{problem}'"), SHORT, async || {
        let ready = server.ready().await?;
        (!ready.ready && ready.problems.iter().any(|found| found.contains(problem))).then_some(())
    })
    .await;
}

/// Every release is one commit, and nothing else is there.
pub(crate) async fn all_land(server: &Server, origin: &Origin, releases: &[Uuid]) {
    server.drained().await;
    until("the server is ready again", LONG, async || server.ready().await.filter(|ready| ready.ready)).await;
    let history = History::of(origin);
    for release in releases {
        let status = server.get(&format!("/api/v1/releases/{release}")).await.body;
        assert_eq!(status["commit"], history.commit_of(*release), "{status}");
    }
    assert_eq!(history.releases().len(), SERVICES + releases.len());
    let copy = WorkingCopy::of(origin);
    for service in services() {
        let files = copy.files(&format!("dev/releases/dev/{service}"));
        assert!(
            String::from_utf8_lossy(&files["40-deployment.yaml"].1).contains("master-2-new"),
            "{service}"
        );
    }
    origin.assert_clean();
}

/// What people look at while nothing can be written: quick, and true.
async fn readers_work(server: &Server) {
    for path in [
        "/status?service=service-1",
        "/describe/release/service-1/dev",
        "/describe/artifact/service-1?count=2",
        "/api/v1/events",
        "/ping",
    ] {
        let started = Instant::now();
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(started.elapsed() < QUICK, "{path} took {:?}", started.elapsed());
    }
    let status = server.get("/status?service=service-1").await.body;
    assert_eq!(status["environments"][0]["tag"], "master-1-old", "{status}");
}

/// One outage: `begin` and `end` it, `problem` is what `/ready` says of it.
async fn survive(begin: impl FnOnce(&Origin), problem: &str, end: impl FnOnce(&Origin)) {
    let origin = Origin::new();
    let server = prepared_server(&origin).await;
    begin(&origin);
    let releases = release_all(&server).await;
    until_ready_says(&server, problem).await;
    readers_work(&server).await;
    let tries = || server.log().matches("the event waits").count();
    let before = tries();
    until("more tries have failed", SHORT, async || (tries() >= before + SERVICES).then_some(())).await;
    readers_work(&server).await;
    until_ready_says(&server, problem).await;
    let pending = server.client(Audience::Hamctl).events().await.expect("the queue").pending;
    assert_eq!(
        pending.iter().map(|event| event.id).collect::<Vec<_>>(),
        releases,
        "in the order of acceptance"
    );

    end(&origin);
    all_land(&server, &origin, &releases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_wait_for_a_remote_that_cannot_be_reached() {
    survive(Origin::go_away, "cannot be fetched", Origin::come_back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_wait_for_a_remote_that_declines_pushes() {
    let begin = |origin: &Origin| origin.set_hook("pre-receive", "echo 'no pushes today' >&2; exit 1");
    survive(begin, "no pushes today", |origin| origin.remove_hook("pre-receive")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_wait_for_a_remote_that_hangs() {
    let begin = |origin: &Origin| origin.set_hook("pre-receive", "sleep 60");
    survive(begin, "no answer within 2 s", |origin| origin.remove_hook("pre-receive")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_is_rewritten_is_followed_with_a_warning() {
    let origin = Origin::new();
    let server = prepared_server(&origin).await;
    let copy = WorkingCopy::of(&origin);
    let [release, ..] = release_all(&server).await[..] else { panic!("nothing was released") };
    server.drained().await;
    let tag = async |service: &str| {
        let status = server.get(&format!("/status?service={service}")).await.body;
        status["environments"][0]["tag"].as_str().map(str::to_owned)
    };
    assert_eq!(tag("service-0").await.as_deref(), Some("master-2-new"));

    copy.git(&["push", "--quiet", "--force", "origin", BRANCH]);
    until("the server shows what is there now", SHORT, async || {
        (tag("service-0").await.as_deref() == Some("master-1-old")).then_some(())
    })
    .await;
    assert!(server.log().contains("history was rewritten by somebody"));
    assert_eq!(server.ready().await.expect("an answer").problems, Vec::<String>::new());

    // The lost release is a thing of the past; a new one is made on what is there.
    let again = server.accepted(&Order::new("service-0", "dev", "master-2-new")).await;
    server.drained().await;
    assert_ne!(again, release);
    let history = History::of(&origin);
    history.commit_of(again);
    assert!(!history.releases().contains_key(&release));
    assert_eq!(history.releases().len(), SERVICES + 1);
    origin.assert_clean();
}
