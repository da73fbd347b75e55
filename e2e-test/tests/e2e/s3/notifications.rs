//! Notifications that come twice, late, or broken.

use std::time::Duration;

use release_testing::{artifact::ArtifactBuilder, faults::Fault, origin::Origin};

use super::{Cloud, notifications_up, until_current};
use crate::harness::{Artifact, Audience, History, LONG, SHORT, until};

fn artifact(service: &str, id: &str, minutes: i64) -> Artifact {
    Artifact::built_by(&ArtifactBuilder::new(service, id).later(minutes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_repeated_notifications_never_bring_back_an_older_artifact() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    server.auto_release("svc").await;
    for (number, id) in (0..).zip(["master-c-1", "master-b-1", "master-a-1"]) {
        server.push(&artifact("svc", id, number)).await;
    }
    until_current(&origin, "svc", "master-a-1").await;
    cloud.queue_is_empty().await;
    server.drained().await;
    let before = origin.titles();
    // The newest first, then the others, all twice, with another checksum each time.
    let script = "
for round in range(2):
    for id in ['master-a-1', 'master-c-1', 'master-b-1']:
        notify(f'svc/{id}', etag=str(round))";
    cloud.plain(script, &[]).await;
    cloud.queue_is_empty().await;
    server.drained().await;
    assert_eq!(origin.titles(), before);
    assert!(server.log().contains("not released by policies: there is a newer one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poisoned_notifications_are_told_of_once_and_hold_nothing_up() {
    const POISON: &str = r#"
for body in ['{', '[]', 'x' * 200_000, '{"Records": [7]}', '{"Records": [{"s3": {}}]}']:
    sqs.send_message(QueueUrl=queue(), MessageBody=body)
for key in ['readme.txt', 'a/b/c', '../x', 'svc/', 'svc/two%20words', 'svc/two+words']:
    notify(key)
notify('svc/master-1-2', event='ObjectRemoved:Delete')"#;
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    server.auto_release("svc").await;
    cloud.plain(POISON, &[]).await;
    server.push_new("svc", "master-1-2").await;
    until_current(&origin, "svc", "master-1-2").await;
    cloud.queue_is_empty().await;
    server.drained().await;
    assert_eq!(server.log().matches("a notification is passed over").count(), 12);
    assert!(server.log().lines().all(|line| line.len() < 4_000), "a line of the log is huge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_while_the_queue_was_away_is_released_when_it_is_back() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    server.auto_release("svc").await;
    cloud.sqs.set(Fault::Away);
    until("the metric says so", SHORT, async || (!notifications_up(&server).await?).then_some(())).await;
    server.push_new("svc", "master-1-2").await;
    let ready = server.ready().await.expect("an answer");
    assert!(ready.ready, "requests are served all the same: {ready:?}");
    assert_eq!(server.log().matches("new artifacts are not noticed").count(), 1, "logged once");
    // Neither does a restart need it.
    server.kill();
    server.restart().await;
    cloud.sqs.set(Fault::None);
    until_current(&origin, "svc", "master-1-2").await;
    until("the metric says so", LONG, async || notifications_up(&server).await?.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_while_no_server_runs_is_released_by_the_next() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    server.auto_release("svc").await;
    server.kill();
    cloud.plain("put('svc', 'master-1-2')", &[]).await;
    server.restart().await;
    until_current(&origin, "svc", "master-1-2").await;
    let events = server.client(Audience::Hamctl).events().await.expect("the queue");
    assert!(events.dead.is_empty(), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_forgets_no_notification() {
    const SERVICES: usize = 6;
    const KILLS: u64 = 8;
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    for service in 0..SERVICES {
        server.auto_release(&format!("svc-{service}")).await;
    }
    for kill in 0..KILLS {
        let script = format!(
            "for service in range({SERVICES}): put(f'svc-{{service}}', 'master-{kill}-1', end='2026-01-01T00:0{kill}:00Z')"
        );
        cloud.plain(&script, &[]).await;
        // At another point of its way each time.
        tokio::time::sleep(Duration::from_millis(kill * 15)).await;
        server.kill();
        server.restart().await;
    }
    for service in 0..SERVICES {
        until_current(&origin, &format!("svc-{service}"), &format!("master-{}-1", KILLS - 1)).await;
    }
    cloud.queue_is_empty().await;
    server.drained().await;
    let releases = History::of(&origin).releases();
    assert!(releases.values().all(|commits| *commits == 1), "twice: {releases:?}");
    origin.assert_clean();
}
