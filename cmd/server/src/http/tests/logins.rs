//! Who is let in, and how little the others learn.

use axum::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use chrono::Utc;
use release_identity::{Settings, Verifier};
use release_testing::jwt::{KeyServer, Published, SigningKey, encode, signing_input};
use serde_json::json;

use super::*;
use crate::http::{login::Scopes, strangers::Peer};

const REFUSED: &str = "The token is missing or not accepted; log in again or ask for a valid one.";

/// A router that believes one provider.
struct World {
    key: SigningKey,
    state: AppState,
    router: Router,
    _server: KeyServer,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let key = SigningKey::rsa("key-1");
        let server = KeyServer::start(Published::Keys(vec![key.jwk()])).await;
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            jwks_urls: vec![server.url().parse().unwrap()],
            issuers: vec!["https://idp".to_owned()],
            audience: "release-manager".to_owned(),
            directory: directory.path().join("keys"),
        };
        let (verifier, update) = Verifier::new(settings).unwrap();
        tokio::spawn(update.run(|_| {}));
        let scopes =
            Scopes { hamctl: None, artifact: "release_artifact".into(), daemon: "release_daemon".into() };
        let state = state();
        let tokens = Tokens { hamctl: "static".parse().unwrap(), ..Tokens::default() };
        let logins = Logins { jwt: Some((verifier, scopes)), ..logins(&state, tokens) };
        let router = router(state.clone(), &logins, Duration::from_mins(1));
        Self { key, state, router, _server: server, _directory: directory }
    }

    async fn send(&self, token: &str) -> Answer {
        send(self.router.clone(), request(Method::POST, "/release", token, RELEASE)).await
    }
}

fn claims() -> Value {
    json!({"iss": "https://idp", "aud": "release-manager", "sub": "jane@x.io", "exp": Utc::now().timestamp() + 600})
}

fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn static_tokens_and_those_of_a_provider_work_beside_each_other() {
    let world = World::new().await;
    for token in ["static", &world.key.token(&claims())] {
        assert_eq!(world.send(token).await.message(), "The server is starting; try again in a moment.");
    }
}

#[tokio::test]
async fn all_hostile_tokens_get_the_same_answer() {
    let world = World::new().await;
    let now = Utc::now().timestamp();
    let header = |alg: &str| json!({"alg": alg, "kid": "key-1"});
    let unsigned = signing_input(&header("none"), &claims());
    let sign = |claims: &Value| world.key.token(claims);
    let crit = json!({"alg": "RS256", "kid": "key-1", "crit": ["b64"]});
    let tokens = [
        ("unknown", String::new()),
        ("unknown", "guessed".to_owned()),
        ("malformed", "a.b.c".to_owned()),
        ("too_long", "x".repeat(1 << 20)),
        ("malformed", format!("{unsigned}.")),
        ("algorithm", format!("{}.{}", signing_input(&header("HS256"), &claims()), encode("x".repeat(32)))),
        ("algorithm", format!("{}.{}", signing_input(&header("ES256"), &claims()), encode("x".repeat(64)))),
        ("signature", SigningKey::rsa("key-1").token(&claims())),
        ("unknown_key", SigningKey::rsa("key-2").token(&claims())),
        ("malformed", world.key.sign(&crit, &claims())),
        ("issuer", sign(&but("iss", json!("https://other")))),
        ("audience", sign(&but("aud", json!("other")))),
        ("expired", sign(&but("exp", json!(now - 10)))),
        ("not_yet_valid", sign(&but("nbf", json!(now + 60)))),
        ("subject", sign(&but("sub", json!("")))),
        ("claims", sign(&but("exp", json!("soon")))),
        ("access", sign(&but("scope", json!("release_artifact")))),
        ("access", sign(&but("client_id", json!("jane@x.io")))),
    ];
    for (reason, token) in &tokens {
        let response =
            world.router.clone().oneshot(request(Method::POST, "/release", token, RELEASE)).await.unwrap();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = json!({"status": 401, "message": REFUSED});
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected, "{reason}");
    }
    let metrics = world.state.metrics().encode();
    for (reason, _) in &tokens {
        let count = tokens.iter().filter(|(other, _)| *reason == *other).count();
        let line = format!(r#"release_manager_logins_refused_total{{reason="{reason}"}} {count}"#);
        assert!(metrics.contains(&line), "{line}\nis not in\n{metrics}");
    }
}

#[tokio::test]
async fn the_log_tells_why_somebody_was_refused_and_who_it_was() {
    let lines = Lines::of_this_process();
    let world = World::new().await;
    for (token, parts) in [
        (world.key.token(&but("exp", json!(1))), &["it has expired"][..]),
        (
            world.key.token(&but("scope", json!("release_daemon"))),
            &[
                "it is not for the endpoints of hamctl",
                r#""caller":"jane@x.io""#,
                r#""login":"identity provider""#,
            ],
        ),
        (world.key.token(&claims()), &[r#""caller":"jane@x.io""#, "The server is starting"]),
    ] {
        let answer = world.send(&token).await;
        let found = lines.with(&answer.request_id);
        let [line] = &found[..] else { panic!("not one line: {found:?}") };
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains(token.rsplit('.').next().unwrap()), "{line}");
    }
}

fn from_address(path: &str, token: &str, address: [u8; 4]) -> Request<Body> {
    let mut request = request(Method::GET, path, token, "");
    request.extensions_mut().insert(Peer(address.into()));
    request
}

#[tokio::test]
async fn whoever_is_refused_too_often_is_limited_and_nobody_else_is() {
    let router = app(state());
    let status = async |path: &str, token: &str, address| {
        send(router.clone(), from_address(path, token, address)).await.status
    };
    let (mallory, jane) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    for path in ["/status", "/nonsense", "/metrics"] {
        let mut attempts = 0;
        while status(path, "guessed", mallory).await != 429 {
            attempts += 1;
            assert!(attempts < 100_000, "{path}");
        }
    }
    // Also from behind the same proxy, people can work and probes are answered.
    assert_eq!(status("/status?service=svc", "for-hamctl", mallory).await, 503);
    assert_eq!(status("/ping", "", mallory).await, 200);
    assert_eq!(status("/ready", "", mallory).await, 503);
    assert_eq!(status("/status", "guessed", jane).await, 401);
    assert_eq!(status("/metrics", "", jane).await, 200);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_out() {
    for path in ["/ping", "/metrics", "/status", "/nonsense", "/api/v1/openapi.json"] {
        let request = request(Method::GET, path, "guessed", "");
        let response = app(state()).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
}
