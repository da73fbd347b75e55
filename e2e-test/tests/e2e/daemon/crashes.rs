//! The daemon is killed between any two steps: nothing is lost, and nothing has an effect twice.

use release_testing::{
    fake::Behaviour,
    kubernetes::{Fault, Kubernetes, Verb, objects},
};

use super::setting::{A_WHILE, Setting, told};
use crate::harness::{LONG, until};

#[tokio::test]
async fn a_rollout_that_ended_while_the_daemon_was_down_is_told() {
    let mut setting = Setting::with(Kubernetes::start().await).await;
    setting.daemon.kill();
    setting.roll_out("svc", "a-1");
    setting.daemon.restart();
    setting.server.wait_for_effects(1).await;
    assert_eq!(told(&setting.all_effects().await), ["deploy svc a-1"]);
}

#[tokio::test]
async fn killed_before_it_was_told() {
    let mut setting = Setting::with(Kubernetes::start().await).await;
    setting.server.behave(Behaviour::Fails(503));
    let before = setting.server.attempts();
    setting.roll_out("svc", "a-1");
    // The pod is gone before the daemon comes back: only the spool knows.
    setting.kubernetes.put(objects::pod("dev", "svc-1", "a-1"));
    setting.kubernetes.update("Pod", "dev", "svc-1", |pod| objects::crash(pod, 1));
    until("both wait", LONG, async || {
        (setting.daemon.metric("daemon_reports_waiting").await == Some(2)).then_some(())
    })
    .await;
    until("they were tried", LONG, async || (setting.server.attempts() > before).then_some(())).await;
    setting.daemon.kill();
    setting.kubernetes.remove("Pod", "dev", "svc-1");
    setting.server.behave(Behaviour::Works);
    setting.daemon.restart();
    setting.server.wait_for_effects(2).await;
    let mut seen = told(&setting.all_effects().await);
    seen.sort();
    assert_eq!(seen, ["deploy svc a-1", "error svc-1 a-1"]);
}

#[tokio::test]
async fn killed_after_it_was_told_and_before_that_is_noted() {
    let mut setting = Setting::with(Kubernetes::start().await).await;
    setting.kubernetes.fail(Verb::Patch, "deployments", 1, Fault::Hangs);
    setting.roll_out("svc", "a-1");
    setting.kubernetes.wait_for_requests(Verb::Patch, "deployments", 1).await;
    assert_eq!(setting.observed("Deployment", "svc"), None);
    setting.daemon.kill();
    setting.daemon.restart();
    setting.is_observed("Deployment", "svc", "a-1").await;
    assert_eq!(told(&setting.all_effects().await), ["deploy svc a-1"]);
    let ids: Vec<_> =
        setting.server.told().into_iter().filter(|report| report.body["name"] == "svc").collect();
    assert!(ids.iter().all(|report| report.id == ids[0].id), "{ids:#?}");
}

/// As on a machine that is lost with its disk: the annotation is all that is left.
#[tokio::test]
async fn another_daemon_tells_what_the_lost_one_had_not_noted_under_the_same_id() {
    let first = Setting::with(Kubernetes::start().await).await;
    first.kubernetes.fail(Verb::Patch, "deployments", usize::MAX, Fault::Status(500));
    first.roll_out("svc", "a-1");
    let lost = first.server.wait_for_effects(1).await;
    let kubernetes = first.kubernetes.clone();
    drop(first);
    let second = Setting::with(kubernetes).await;
    let told_again = second.server.wait_for_effects(1).await;
    assert_eq!(told_again, lost);
}

#[tokio::test]
async fn killed_again_and_again_while_rollouts_end() {
    const ROUNDS: usize = 6;
    let mut setting = Setting::with(Kubernetes::start().await).await;
    for round in 0..ROUNDS {
        for number in 0..5 {
            setting.roll_out(&format!("svc-{number}"), &format!("a-{round}"));
            setting.roll_out(&format!("svc-{round}-{number}"), "a-1");
        }
        // At some moment, which one does not matter.
        tokio::time::sleep(A_WHILE.mul_f64(f64::from(u32::try_from(round).expect("small")) / 5.0)).await;
        setting.daemon.kill();
        setting.daemon.restart();
    }
    let seen = told(&setting.all_effects().await);
    for round in 0..ROUNDS {
        for number in 0..5 {
            let one = format!("deploy svc-{round}-{number} a-1");
            assert_eq!(seen.iter().filter(|told| **told == one).count(), 1, "{one}: {seen:#?}");
        }
    }
    for number in 0..5 {
        let last = format!("deploy svc-{number} a-{}", ROUNDS - 1);
        assert_eq!(seen.iter().filter(|told| **told == last).count(), 1, "{last}: {seen:#?}");
    }
}

#[tokio::test]
async fn an_orderly_stop_ends_with_what_is_in_flight() {
    let mut setting = Setting::with(Kubernetes::start().await).await;
    setting.roll_out("svc", "a-1");
    setting.server.wait_for_effects(1).await;
    assert!(setting.daemon.terminate().await.success());
    assert_eq!(setting.observed("Deployment", "svc").as_deref(), Some("a-1"));
}
