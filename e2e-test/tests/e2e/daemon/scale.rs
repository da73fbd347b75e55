//! A large cluster in a storm.

use std::{collections::HashSet, time::Instant};

use release_testing::kubernetes::{Kubernetes, objects};

use super::setting::Setting;
use crate::harness::{LONG, until};

const DEPLOYMENTS: usize = 2_000;
const PODS: usize = 20_000;
const UPDATES: usize = 5_000;
/// Each told rollout costs two updates: the next artifact, and that it runs.
const ROLLOUTS: usize = 1_500;
const CRASHES: usize = 1_000;

#[tokio::test]
async fn a_storm_in_a_large_cluster_is_told_without_loss_and_once() {
    let kubernetes = Kubernetes::start().await;
    for number in 0..DEPLOYMENTS {
        let mut deployment = objects::deployment("dev", &format!("svc-{number}"), "a-0", 1);
        objects::roll_out(&mut deployment, 1);
        deployment["metadata"]["annotations"]["lunarway.com/observed-artifact-id"] = "a-0".into();
        kubernetes.put(deployment);
    }
    for number in 0..PODS {
        kubernetes.put(objects::pod("dev", &format!("svc-{number}-1"), "a-0"));
    }
    let started = Instant::now();
    let setting = Setting::with(kubernetes).await;
    until("all workloads are known", LONG, async || {
        let known = setting.daemon.metric("daemon_managed_workloads").await;
        (known == Some(DEPLOYMENTS as u64)).then_some(())
    })
    .await;
    let (start, calm) = (started.elapsed(), setting.daemon.peak_memory());

    let started = Instant::now();
    storm(&setting);
    let made = started.elapsed();
    let expected = ROLLOUTS + CRASHES;
    until("all of it is told", LONG, async || (setting.server.count() >= expected).then_some(())).await;
    let told = started.elapsed();
    let peak = setting.daemon.peak_memory();
    assert_told_once(&setting, expected).await;
    report(&format!(
        "{DEPLOYMENTS} deployments, {PODS} pods: known after {start:.1?} with {calm} MiB; {UPDATES} updates within \
         {made:.1?}: {expected} reports delivered after {told:.1?}, {peak} MiB at most"
    ));
}

fn storm(setting: &Setting) {
    let kubernetes = &setting.kubernetes;
    for number in 0..ROLLOUTS {
        setting.roll_out(&format!("svc-{number}"), "a-1");
    }
    for number in 0..CRASHES {
        kubernetes.update("Pod", "dev", &format!("svc-{number}-1"), |pod| objects::crash(pod, 1));
    }
    // Nothing that is to be told.
    for number in 0..UPDATES - 2 * ROLLOUTS - CRASHES {
        let name = format!("svc-{}-1", CRASHES + number);
        kubernetes.update("Pod", "dev", &name, |pod| pod["metadata"]["labels"]["x"] = "y".into());
    }
}

async fn assert_told_once(setting: &Setting, expected: usize) {
    let effects = setting.all_effects().await;
    let whom: HashSet<String> = super::setting::told(&effects).into_iter().collect();
    assert_eq!((effects.len(), whom.len()), (expected, expected));
    for number in 0..ROLLOUTS {
        setting.is_observed("Deployment", &format!("svc-{number}"), "a-1").await;
    }
}

#[expect(clippy::print_stdout, reason = "for docs/performance.md: --nocapture shows it")]
fn report(text: &str) {
    println!("{text}");
}
