//! A config repository behind a real https server.

use std::process::Command;

use release_testing::{https::Https, origin::Origin};

use crate::{
    harness::{History, Order, SHORT, Server, Setup, program, run, until},
    outages::until_ready_says,
};

async fn server(origin: &Origin, https: &Https, token: &str) -> Server {
    let certificate = https.certificate().display().to_string();
    let environment = [("GIT_SSL_CAINFO", certificate.as_str()), ("GIT_HTTPS_TOKEN", token)];
    let flags = ["--git-poll-interval=200ms", "--git-timeout=10s"];
    let url = https.url();
    let setup = Setup { flags: &flags, url: Some(&url), environment: &environment, ..Setup::default() };
    Server::start_with(origin, &setup).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_go_over_https_and_wait_while_the_server_is_away() {
    let origin = Origin::new();
    let mut https = Https::start(&origin);
    let server = server(&origin, &https, Https::TOKEN).await;
    server.push_new("svc", "master-1-2").await;
    server.push_new("svc", "master-1-3").await;
    let first = server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    server.drained().await;

    https.stop();
    let second = server.accepted(&Order::new("svc", "dev", "master-1-3")).await;
    until_ready_says(&server, "nobody listens there").await;
    assert_eq!(server.get("/status?service=svc").await.status, 200);
    https.restart();
    server.drained().await;
    until("the server is ready", SHORT, async || server.ready().await.filter(|ready| ready.ready)).await;
    let history = History::of(&origin);
    history.commit_of(first);
    history.commit_of(second);
    assert!(!server.log().contains(Https::TOKEN), "a token in the log");
    origin.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_wait_for_a_token_that_may_write() {
    let origin = Origin::new();
    let https = Https::start(&origin);
    let server = server(&origin, &https, Https::READ_ONLY_TOKEN).await;
    server.push_new("svc", "master-1-2").await;
    let release = server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    until_ready_says(&server, "the token may not do that").await;
    let waits = || server.log().contains("the event waits");
    until("the log says that the release waits", SHORT, async || waits().then_some(())).await;
    let status = server.get(&format!("/api/v1/releases/{release}")).await.body;
    assert_ne!(status["state"], "released", "{status}");
    assert!(!server.log().contains(Https::READ_ONLY_TOKEN), "a token in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_refused_says_why() {
    let origin = Origin::new();
    let https = Https::start(&origin);
    let home = tempfile::tempdir().expect("a temporary directory");
    let certificate = https.certificate();
    let (repository, other) = (https.url(), https.url_of("other.git"));
    for (url, trusted, token, said) in [
        (&repository, false, Some(Https::TOKEN), "certificate is not trusted"),
        (&repository, true, None, "asks for a token"),
        (&repository, true, Some("wrong-token"), "does not accept the token"),
        (&other, true, Some(Https::TOKEN), "there is no such repository"),
    ] {
        let mut command = Command::new(program("server"));
        command.args(["start", "--http-port=0", "--config-repo", url, "--data-dir"]);
        command.arg(home.path().join("data")).env("HOME", home.path());
        if trusted {
            command.env("GIT_SSL_CAINFO", &certificate);
        }
        if let Some(token) = token {
            command.env("GIT_HTTPS_TOKEN", token);
        }
        let run = run(command).await;
        assert_eq!(run.code, Some(1), "{run:#?}");
        assert!(run.stderr.contains(said), "{said}: {run:#?}");
        assert!(token.is_none_or(|token| !run.stderr.contains(token)), "{run:#?}");
    }
}
