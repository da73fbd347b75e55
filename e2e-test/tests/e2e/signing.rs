//! Releases that are signed commits.

use std::{fs, time::Instant};

use release_testing::{
    keys::{Gpg, allowed_signers, ssh_key},
    origin::Origin,
};

use crate::{
    harness::{History, Order, SHORT, Server, Setup, until},
    outages::until_ready_says,
};

const RELEASES: usize = 100;

/// All at the same time; every one of their commits verifies, in the environment.
#[expect(clippy::print_stdout, reason = "how long it takes is told, and decides nothing")]
async fn many_releases_are_signed(flags: &[&str], origin: &Origin, environment: &[(&str, &str)]) {
    let server = Server::start_with(origin, &Setup { flags, ..Setup::default() }).await;
    let services: Vec<_> = (0..RELEASES).map(|number| format!("service-{number}")).collect();
    for service in &services {
        server.push_new(service, "master-1-2").await;
    }
    let started = Instant::now();
    let orders: Vec<_> = services.iter().map(|service| Order::new(service, "dev", "master-1-2")).collect();
    let releases = futures::future::join_all(orders.iter().map(|order| server.accepted(order))).await;
    server.drained().await;
    println!("{RELEASES} signed releases took {} ms", started.elapsed().as_millis());

    let history = History::of(origin);
    for release in releases {
        origin.verify_commit(history.commit_of(release), environment);
    }
    let metrics = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let pushes = metrics.lines().find_map(|line| line.strip_prefix("release_manager_git_batch_size_count "));
    let pushes: usize = pushes.expect("the metric").parse().expect("a number");
    assert!(pushes <= RELEASES / 2, "{pushes} pushes");
    origin.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_releases_are_signed_with_a_gpg_key() {
    let (origin, gpg) = (Origin::new(), Gpg::new());
    let key = gpg.generate("Release Manager <releases@example.com>", "rsa4096", "sign", "never");
    let imports = format!("--git-gpg-key-import-paths={}", gpg.export(&key).display());
    let (name, home) = gpg.environment();
    let environment = [(name, home.to_str().expect("UTF-8"))];
    let flags = ["--git-signing-key=releases@example.com", &imports];
    many_releases_are_signed(&flags, &origin, &environment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_releases_are_signed_with_an_ssh_key() {
    let origin = Origin::new();
    let key = ssh_key(&origin.scratch().join("signing"), "ed25519", "");
    origin.git(&["config", "gpg.ssh.allowedSignersFile", &allowed_signers(&key).to_string_lossy()]);
    let flag = format!("--git-signing-key={}", key.display());
    many_releases_are_signed(&[&flag], &origin, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_wait_for_a_signing_key_and_none_is_lost() {
    let origin = Origin::new();
    let key = ssh_key(&origin.scratch().join("signing"), "ed25519", "");
    origin.git(&["config", "gpg.ssh.allowedSignersFile", &allowed_signers(&key).to_string_lossy()]);
    let elsewhere = origin.scratch().join("elsewhere");
    let flag = format!("--git-signing-key={}", key.display());
    let mut server = Server::start_with(&origin, &Setup { flags: &[&flag], ..Setup::default() }).await;
    server.push_new("svc", "master-1-2").await;
    server.kill();
    fs::rename(&key, &elsewhere).expect("the key is there");
    server.restart_without_remote().await;
    until_ready_says(&server, "cannot be read").await;

    let release = server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    let waits = || server.log().contains("the event waits");
    until("the log says that the release waits", SHORT, async || waits().then_some(())).await;
    assert_eq!(server.get("/describe/artifact/svc?count=1").await.status, 200);
    assert_eq!(History::of(&origin).releases().len(), 0, "nothing is written without a signature");

    fs::rename(&elsewhere, &key).expect("the key is elsewhere");
    server.drained().await;
    origin.verify_commit(History::of(&origin).commit_of(release), &[]);
    until("the server is ready", SHORT, async || server.ready().await.filter(|ready| ready.ready)).await;
    let secret = fs::read_to_string(&key).expect("the key");
    let line = secret.lines().nth(2).expect("a line of the key");
    assert!(!server.log().contains(line), "a part of the key in the log");
}
