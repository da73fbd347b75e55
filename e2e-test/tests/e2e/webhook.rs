//! Deliveries of GitHub's webhook.

use release_testing::origin::{BRANCH, Origin};
use reqwest::Method;

use crate::harness::{Audience, SHORT, Server, Setup, answer, until};

const SECRET: &str = "It's a Secret to Everybody";
/// Of [`push`] for the branch `main`, made with `openssl dgst -sha256 -hmac`.
const SIGNATURE: &str = "sha256=9f42268a459db8be85e37d7f2b14dd17d7853f10e049a9687b5b3fbfb3fcc9a0";
const POLICY: &str = r#"{"autoReleases":[{"id":"a","branch":"master","environment":"dev"}]}"#;

fn push(branch: &str) -> String {
    format!(r#"{{"ref":"refs/heads/{branch}","repository":{{"name":"config"}}}}"#)
}

/// Delivers as GitHub does; the status of the answer.
async fn deliver(server: &Server, event: &str, signature: Option<&str>, body: String) -> u16 {
    // Without a token: any would do.
    let request = server.caller(Audience::Daemon).request(Method::POST, "/webhook/github");
    let request = request.header("x-github-event", event).body(body);
    let request = signature.into_iter().fold(request, |request, s| request.header("x-hub-signature-256", s));
    answer(request).await.expect("an answer").status
}

async fn sees_the_policy(server: &Server, service: &str) -> bool {
    server.get(&format!("/policies?service={service}")).await.status == 200
}

/// A server that would not look at its remote by itself.
async fn server(origin: &Origin, flags: &[&str]) -> Server {
    let flags = [&["--git-poll-interval", "1h"], flags].concat();
    Server::start_with(origin, &Setup { flags: &flags, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_push_makes_the_server_fetch_and_nothing_else_does() {
    let origin = Origin::new();
    let server = server(&origin, &["--github-webhook-secret", SECRET]).await;
    origin.commit("by hand", &[("policies/svc.json", POLICY)]);
    let wrong = SIGNATURE.replace('a', "b");
    for (event, signature, body, status) in [
        ("push", None, push(BRANCH), 401),
        ("push", Some(wrong.as_str()), push(BRANCH), 401),
        ("push", Some(SIGNATURE), push("other"), 401),
        ("push", Some(SIGNATURE), format!("{} ", push(BRANCH)), 401),
        ("ping", Some(SIGNATURE), push(BRANCH), 200),
    ] {
        assert_eq!(deliver(&server, event, signature, body).await, status, "{event} {signature:?}");
    }
    assert!(!sees_the_policy(&server, "svc").await, "none of them was a push to believe");

    // The same delivery again and again.
    for _ in 0..20 {
        assert_eq!(deliver(&server, "push", Some(SIGNATURE), push(BRANCH)).await, 200);
    }
    until("the policy is seen", SHORT, async || sees_the_policy(&server, "svc").await.then_some(())).await;
    assert!(!server.log().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_every_push_to_the_branch_is_believed() {
    let origin = Origin::new();
    let server = server(&origin, &[]).await;
    origin.commit("by hand", &[("policies/svc.json", POLICY)]);
    assert_eq!(deliver(&server, "push", None, push("other")).await, 200);
    assert_eq!(deliver(&server, "push", None, "nonsense".to_owned()).await, 400);
    assert!(!sees_the_policy(&server, "svc").await, "another branch does not matter");
    assert_eq!(deliver(&server, "push", None, push(BRANCH)).await, 200);
    until("the policy is seen", SHORT, async || sees_the_policy(&server, "svc").await.then_some(())).await;
}
