//! Tokens of a real identity provider, in requests to a real server.

use release_testing::{
    identity_provider::{IdentityProvider, Settings},
    origin::Origin,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Artifact, LONG, Order, Server, Setup, answer, until};

const STATIC_TOKENS: [(&str, &str); 2] =
    [("HAMCTL_AUTH_TOKEN", "static-hamctl"), ("ARTIFACT_AUTH_TOKEN", "static-artifact")];

struct World {
    provider: IdentityProvider,
    origin: Origin,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let provider = IdentityProvider::start(Settings::default());
        let origin = Origin::new();
        let server = server(&provider, &origin, &[]).await;
        server.push_new("api", "master-1").await;
        Self { provider, origin, server }
    }

    async fn release(&self, token: &str) -> Answer {
        release(&self.server, token).await
    }
}

async fn server(provider: &IdentityProvider, origin: &Origin, more: &[&str]) -> Server {
    let (keys, issuer) = (provider.keys_url(), provider.url());
    let flags = [&["--jwks-urls", &keys, "--jwt-issuer", &issuer], more].concat();
    Server::start_with(origin, &Setup { flags: &flags, environment: &STATIC_TOKENS, ..Setup::default() })
        .await
}

async fn release(server: &Server, token: &str) -> Answer {
    server.caller_with(token).order(&Order::new("api", "dev", "master-1")).await.expect("an answer")
}

/// The status of the first step of an upload.
async fn create_artifact(server: &Server, token: &str) -> u16 {
    let artifact = Artifact::new("api", "master-2");
    let request = server.caller_with(token).request(Method::POST, "/artifacts/create");
    answer(request.json(&artifact.create_request())).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_token_opens_its_own_endpoints_and_no_others() {
    let World { provider, origin, server } = World::new().await;
    let person = provider.person_token("jane").await;
    let artifact = provider.machine_token("artifact", "release_artifact").await;
    let daemon = provider.machine_token("daemon", "release_daemon").await;
    // A machine does not become a person by leaving out its scope.
    let no_scope = provider.machine_token("artifact", "").await;
    for (who, token, may_release, may_upload) in [
        ("a person", person.as_str(), true, false),
        ("artifact", &artifact, false, true),
        ("daemon", &daemon, false, false),
        ("a machine without a scope", &no_scope, false, false),
        ("a static token", "static-hamctl", true, false),
        ("a static token", "static-artifact", false, true),
    ] {
        let released = release(&server, token).await;
        assert_eq!(released.status, if may_release { 200 } else { 401 }, "{who}: {released:?}");
        let uploads = create_artifact(&server, token).await;
        assert_eq!(uploads, if may_upload { 201 } else { 401 }, "{who}");
    }
    server.drained().await;
    // Whom the provider vouches for, not whom the request names.
    assert_eq!(origin.git(&["log", "-1", "--format=%an %ae"]), "jane jane");

    for flags in [["--jwt-audience", "another"], ["--jwt-issuer", "https://another.example.com"]] {
        let (keys, issuer) = (provider.keys_url(), provider.url());
        let base = ["--jwks-urls", keys.as_str(), "--jwt-issuer", issuer.as_str()];
        let flags = if flags[0] == "--jwt-issuer" {
            [&base[..2], &flags].concat()
        } else {
            [&base[..], &flags].concat()
        };
        let setup = Setup { flags: &flags, environment: &STATIC_TOKENS, ..Setup::default() };
        let strict = Server::start_with(&origin, &setup).await;
        assert_eq!(release(&strict, &person).await.status, 401, "{flags:?}");
        assert_eq!(create_artifact(&strict, &artifact).await, 401, "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_who_did_what_and_why_somebody_may_not() {
    let World { provider, server, .. } = World::new().await;
    let (jane, machine) =
        (provider.person_token("jane").await, provider.machine_token("artifact", "release_artifact").await);
    for (token, request_id) in
        [(jane.as_str(), "by-jane"), (&machine, "by-a-machine"), ("guessed", "by-a-stranger")]
    {
        let request = server.caller_with(token).request(Method::POST, "/release");
        let order = Order::new("api", "dev", "master-1").body();
        answer(request.header("x-request-id", request_id).json(&order)).await.expect("an answer");
    }
    let told = |request_id: &str| -> Value {
        let log = server.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["requestId"] == request_id && line["route"] == "/release").expect("a line")
    };
    let done = told("by-jane");
    assert_eq!(done["message"], "Request done");
    assert_eq!([&done["caller"], &done["login"]], ["jane", "identity provider"]);
    assert_eq!([&done["service"], &done["environment"], &done["artifact-id"]], ["api", "dev", "master-1"]);
    assert_eq!([&done["releaser"], &done["intent"]], ["jane", "ReleaseArtifact"]);
    let refused = told("by-a-machine");
    assert_eq!([&refused["message"], &refused["caller"]], ["Request refused", "artifact"]);
    assert!(
        refused["reason"].as_str().expect("a reason").contains("not for the endpoints of hamctl"),
        "{refused}"
    );
    let stranger = told("by-a-stranger");
    assert_eq!(stranger["message"], "Request refused");
    assert_eq!(stranger["caller"], Value::Null);
    assert!(stranger["reason"].as_str().expect("a reason").contains("Nobody has this token"), "{stranger}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_may_be_away_and_its_key_may_change() {
    let mut world = World::new().await;
    let jane = world.provider.person_token("jane").await;
    assert_eq!(world.release(&jane).await.status, 200);

    world.provider.kill();
    assert_eq!(world.release(&jane).await.status, 200, "the key is known");
    world.server.kill();
    // It becomes ready.
    world.server.restart().await;
    assert_eq!(world.release(&jane).await.status, 200, "the key was kept");
    let down = "release_manager_identity_providers_up 0";
    until("the metric", LONG, async || metrics(&world.server).await.contains(down).then_some(())).await;

    world.provider.restart();
    world.provider.rotate_key();
    let joe = world.provider.person_token("joe").await;
    // A new key is noticed when somebody uses it, at most every ten seconds.
    until("the new key", LONG, async || (world.release(&joe).await.status == 200).then_some(())).await;
    assert_eq!(world.release(&jane).await.status, 401, "the old key is gone");
    let up = "release_manager_identity_providers_up 1";
    until("the metric", LONG, async || metrics(&world.server).await.contains(up).then_some(())).await;
    drop(world.origin);
}

async fn metrics(server: &Server) -> String {
    let answer = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_learnt_from_a_refusal() {
    let World { provider, server, .. } = World::new().await;
    let good = provider.person_token("jane").await;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let cut = &signature[..signature.len() - 8];
    let tokens = [
        String::new(),
        "guessed".to_owned(),
        "static-hamct".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{cut}AAAAAAAA"),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("{header}.{}.{signature}", "x".repeat(30_000)),
        provider.machine_token("daemon", "release_daemon").await,
    ];
    let expected = json!({
        "status": 401,
        "message": "The token is missing or not accepted; log in again or ask for a valid one.",
    });
    for token in tokens {
        let refused = release(&server, &token).await;
        assert_eq!((refused.status, &refused.body), (401, &expected), "{token:.200}");
    }
    assert_eq!(release(&server, &good).await.status, 200);
}
