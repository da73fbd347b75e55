use super::*;
use crate::world::{World, pod_failed, succeeded, until};

/// Delivers until the spool is empty, and stops.
async fn deliver_all(world: &World, spool: &Arc<Spool>) {
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.delivery(spool, &stop).await.run());
    until("all is delivered", async || spool.counts().await.unwrap().pending == 0).await;
    stop.cancel();
    running.await.unwrap();
}

fn lines(world: &World) -> Vec<String> {
    world.asked().into_iter().map(|asked| asked.line).collect()
}

fn ids(world: &World) -> Vec<u128> {
    let ids = world.asked().into_iter().filter_map(|asked| asked.id.parse::<Uuid>().ok());
    ids.map(|id| id.as_u128()).collect()
}

#[tokio::test]
async fn a_report_is_told_then_noted_in_the_cluster_and_then_forgotten() {
    let world = World::new().await;
    let spool = world.spool();
    spool.keep(&succeeded(1, "svc")).await.unwrap();
    deliver_all(&world, &spool).await;
    assert_eq!(
        lines(&world),
        ["POST /webhook/daemon/k8s/deploy", "PATCH /apis/apps/v1/namespaces/dev/deployments/svc"]
    );
    let asked = world.asked();
    assert_eq!(asked[0].id, Uuid::from_u128(1).to_string());
    assert_eq!(asked[0].body["artifactId"], "a-1");
    assert_eq!(
        asked[1].body,
        serde_json::json!({"metadata": {"annotations": {"lunarway.com/observed-artifact-id": "a-1"}}}),
        "that one annotation and nothing else"
    );
}

#[tokio::test]
async fn while_the_server_is_away_reports_wait_and_the_order_of_each_object_stays() {
    let world = World::new().await;
    world.answer(|_| 503);
    let spool = world.spool();
    for happening in [pod_failed(1, "a"), pod_failed(2, "a"), pod_failed(3, "b"), pod_failed(4, "a")] {
        spool.keep(&happening).await.unwrap();
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.delivery(&spool, &stop).await.run());
    until("the problem is known", async || world.health.problem().is_some()).await;
    assert_eq!(spool.counts().await.unwrap().pending, 4);
    let before = world.asked().len();
    world.answer(|_| 200);
    until("all is delivered", async || spool.counts().await.unwrap().pending == 0).await;
    assert_eq!(world.health.problem(), None);
    stop.cancel();
    running.await.unwrap();
    // What was under way when the server came back may be among them.
    let told = ids(&world).split_off(before.saturating_sub(2));
    let of_a: Vec<_> = told.into_iter().filter(|id| *id != 3).collect();
    assert!(of_a.is_sorted() && of_a.ends_with(&[2, 4]), "{of_a:?}");
}

#[tokio::test]
async fn a_release_whose_report_the_server_cannot_take_holds_up_no_other() {
    let world = World::new().await;
    let stuck = Uuid::from_u128(1).to_string();
    world.answer(move |asked| if asked.id == stuck { 500 } else { 200 });
    let spool = world.spool();
    for happening in [succeeded(1, "a"), succeeded(2, "b"), succeeded(3, "c")] {
        spool.keep(&happening).await.unwrap();
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.delivery(&spool, &stop).await.run());
    until("the others are delivered", async || spool.counts().await.unwrap().pending == 1).await;
    stop.cancel();
    running.await.unwrap();
    assert!(ids(&world).contains(&1));
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_put_aside_unnoted_and_the_next_one_goes_on() {
    let world = World::new().await;
    let refused = Uuid::from_u128(1).to_string();
    world.answer(move |asked| if asked.id == refused { 400 } else { 200 });
    let spool = world.spool();
    spool.keep(&succeeded(1, "svc")).await.unwrap();
    spool.keep(&succeeded(2, "svc")).await.unwrap();
    deliver_all(&world, &spool).await;
    assert_eq!(spool.counts().await.unwrap().dead, 1);
    let noted: Vec<_> = world.asked().into_iter().filter(|asked| asked.line.starts_with("PATCH")).collect();
    assert_eq!(noted.len(), 1);
    assert!(noted[0].body.to_string().contains("a-2"));
    let text = world.metrics.encode();
    for outcome in ["delivered", "refused"] {
        let line = format!(r#"daemon_reports_total{{outcome="{outcome}",type="rollout.succeeded"}} 1"#);
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn what_was_not_delivered_is_after_a_restart_also_when_only_the_note_was_missing() {
    let world = World::new().await;
    world.answer(|asked| if asked.line.starts_with("PATCH") { 503 } else { 200 });
    let spool = world.spool();
    spool.keep(&succeeded(1, "svc")).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.delivery(&spool, &stop).await.run());
    until("it is to be noted", async || lines(&world).iter().any(|line| line.starts_with("PATCH"))).await;
    // As if the process were killed here.
    running.abort();
    let _ = running.await;
    drop(spool);

    world.answer(|_| 200);
    let spool = world.spool();
    assert_eq!(spool.waiting().await.unwrap(), [succeeded(1, "svc")]);
    deliver_all(&world, &spool).await;
    assert!(ids(&world).iter().all(|id| *id == 1), "again under the same id");
    assert!(lines(&world).last().unwrap().starts_with("PATCH"));
}

#[tokio::test]
async fn an_object_that_is_gone_or_may_not_be_patched_stops_nothing() {
    for status in [404, 403] {
        let world = World::new().await;
        world.answer(move |asked| if asked.line.starts_with("PATCH") { status } else { 200 });
        let spool = world.spool();
        spool.keep(&succeeded(1, "svc")).await.unwrap();
        deliver_all(&world, &spool).await;
        assert_eq!(world.asked().len(), 2, "{status}");
    }
}
