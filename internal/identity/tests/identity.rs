//! Tokens against a server that publishes keys, over HTTP.

use std::{path::Path, time::Duration};

use chrono::Utc;
use release_identity::{Identity, MAX_TOKEN_BYTES, Refusal, Settings, Verifier};
use release_testing::jwt::{KeyServer, Published, SigningKey, encode, signing_input};
use serde_json::{Value, json};
use tempfile::TempDir;

const ISSUER: &str = "https://idp.example.com";

/// For what takes milliseconds on an idle machine.
const LONG: Duration = Duration::from_mins(1);

/// A verifier that fetches from these addresses for as long as the test runs.
fn verifier(urls: &[String], directory: &Path) -> Verifier {
    let settings = Settings {
        jwks_urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        issuers: vec![ISSUER.to_owned(), "https://second.example.com".to_owned()],
        audience: "release-manager".to_owned(),
        directory: directory.join("keys"),
    };
    let (verifier, update) = Verifier::new(settings).unwrap();
    tokio::spawn(update.run(|_| {}));
    verifier
}

struct Provider {
    key: SigningKey,
    server: KeyServer,
    directory: TempDir,
    verifier: Verifier,
}

impl Provider {
    async fn new() -> Self {
        Self::with(SigningKey::ec("key-1")).await
    }

    async fn with(key: SigningKey) -> Self {
        let server = KeyServer::start(Published::Keys(vec![key.jwk()])).await;
        let directory = tempfile::tempdir().unwrap();
        let verifier = verifier(&[server.url()], directory.path());
        Self { key, server, directory, verifier }
    }

    async fn refusal(&self, token: &str) -> Refusal {
        self.verifier.verify(token).await.expect_err("a refusal")
    }
}

fn claims() -> Value {
    let now = Utc::now().timestamp();
    json!({"iss": ISSUER, "aud": "release-manager", "sub": "jane@example.com", "iat": now, "exp": now + 600})
}

/// Good claims with one that is another, or missing where it is null.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn jane() -> Identity {
    Identity { subject: "jane@example.com".to_owned(), scopes: Vec::new(), is_machine: false }
}

#[tokio::test]
async fn a_good_token_says_who_it_is_of() {
    for key in [SigningKey::rsa("key-1"), SigningKey::ec("key-1"), SigningKey::ed25519("key-1")] {
        let provider = Provider::with(key).await;
        for claims in [
            claims(),
            but("iss", json!("https://second.example.com")),
            but("aud", json!(["another", "release-manager"])),
            but("nbf", json!(Utc::now().timestamp() - 10)),
            but("unknown", json!({"more": [1, 2, 3]})),
        ] {
            let token = provider.key.token(&claims);
            assert_eq!(provider.verifier.verify(&token).await, Ok(jane()), "{claims}");
        }
        for typ in [json!("JWT"), json!("AT+JWT"), json!("application/at+jwt")] {
            let header = json!({"alg": provider.key.algorithm(), "kid": "key-1", "typ": typ});
            assert!(provider.verifier.verify(&provider.key.sign(&header, &claims())).await.is_ok(), "{typ}");
        }
    }
}

#[tokio::test]
async fn scopes_are_read_in_all_their_forms() {
    let provider = Provider::new().await;
    for (name, value, expected) in [
        ("scope", json!("openid  release_artifact"), &["openid", "release_artifact"][..]),
        ("scp", json!(["release_daemon"]), &["release_daemon"]),
        ("scp", json!("a b"), &["a", "b"]),
        ("scope", json!(""), &[]),
    ] {
        let identity = provider.verifier.verify(&provider.key.token(&but(name, value))).await.unwrap();
        assert_eq!(identity.scopes, expected);
    }
}

#[tokio::test]
async fn a_token_of_a_client_itself_is_told_from_a_persons() {
    let provider = Provider::new().await;
    for (name, value, expected) in [
        ("client_id", "hamctl", false),
        ("client_id", "jane@example.com", true),
        ("cid", "jane@example.com", true),
        ("azp", "jane@example.com", true),
        ("azp", "jane", false),
    ] {
        let identity = provider.verifier.verify(&provider.key.token(&but(name, json!(value)))).await.unwrap();
        assert_eq!(identity.is_machine, expected, "{name}={value}");
    }
    let mut claims = but("sub", json!("machine-7@clients"));
    claims["azp"] = json!("machine-7");
    assert!(provider.verifier.verify(&provider.key.token(&claims)).await.unwrap().is_machine);
}

#[tokio::test]
async fn the_claims_of_hostile_tokens_are_refused() {
    let provider = Provider::new().await;
    let now = Utc::now().timestamp();
    for (claims, expected) in [
        (but("iss", json!("https://idp.example.com/")), Refusal::Issuer),
        (but("iss", Value::Null), Refusal::Claims),
        (but("iss", json!(7)), Refusal::Claims),
        (but("aud", json!("release-manager ")), Refusal::Audience),
        (but("aud", json!(["a", "b"])), Refusal::Audience),
        (but("aud", json!([])), Refusal::Audience),
        (but("aud", Value::Null), Refusal::Claims),
        (but("exp", json!(now - 60)), Refusal::Expired),
        (but("exp", json!(0)), Refusal::Expired),
        (but("exp", json!(-1)), Refusal::Claims),
        (but("exp", json!("9999999999")), Refusal::Claims),
        (but("exp", Value::Null), Refusal::Claims),
        (but("nbf", json!(now + 60)), Refusal::NotYetValid),
        (but("nbf", json!("soon")), Refusal::Claims),
        (but("sub", Value::Null), Refusal::Subject),
        (but("sub", json!("")), Refusal::Subject),
        (but("sub", json!("jane\nlevel=info")), Refusal::Subject),
        (but("sub", json!("x".repeat(256))), Refusal::Subject),
        (but("sub", json!(["jane"])), Refusal::Claims),
        (but("scope", json!({"a": 1})), Refusal::Claims),
        (json!([]), Refusal::Claims),
        (json!("text"), Refusal::Claims),
    ] {
        assert_eq!(provider.refusal(&provider.key.token(&claims)).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn clocks_may_be_a_second_apart_and_no_more() {
    let provider = Provider::new().await;
    // Of the whole second that the test may take itself, neither says anything.
    let now = Utc::now().timestamp();
    assert_eq!(provider.verifier.verify(&provider.key.token(&but("nbf", json!(now + 1)))).await, Ok(jane()));
    assert_eq!(provider.refusal(&provider.key.token(&but("exp", json!(now - 2)))).await, Refusal::Expired);
}

#[tokio::test]
async fn the_headers_of_hostile_tokens_are_refused() {
    let provider = Provider::with(SigningKey::rsa("key-1")).await;
    let mallory = SigningKey::rsa("key-1");
    let stranger = SigningKey::rsa("key-7");
    let header = |name: &str, value: Value| {
        let mut header = json!({"alg": "RS256", "kid": "key-1"});
        header[name] = value;
        header
    };
    let theirs = mallory.jwk();
    let keys = KeyServer::start(Published::Keys(vec![theirs.clone()])).await;
    for (token, expected) in [
        (mallory.token(&claims()), Refusal::Signature),
        (stranger.token(&claims()), Refusal::UnknownKey),
        // Keys and their addresses that a token brings along.
        (mallory.sign(&header("jwk", theirs), &claims()), Refusal::Signature),
        (mallory.sign(&header("jku", json!(keys.url())), &claims()), Refusal::Signature),
        (mallory.sign(&header("x5u", json!(keys.url())), &claims()), Refusal::Signature),
        (mallory.sign(&header("x5c", json!([encode(mallory.public_der())])), &claims()), Refusal::Signature),
        (provider.key.sign(&header("crit", json!(["exp"])), &claims()), Refusal::Malformed),
        (provider.key.sign(&header("crit", json!([])), &claims()), Refusal::Malformed),
        (provider.key.sign(&header("typ", json!("logout+jwt")), &claims()), Refusal::Malformed),
        // An algorithm that the key is not for, or that is none.
        (provider.key.sign(&header("alg", json!("none")), &claims()), Refusal::Malformed),
        (provider.key.sign(&header("alg", json!("NONE")), &claims()), Refusal::Malformed),
        (provider.key.sign(&header("alg", json!("HS256")), &claims()), Refusal::Algorithm),
        (provider.key.sign(&header("alg", json!("ES256")), &claims()), Refusal::Algorithm),
        (provider.key.sign(&header("alg", json!("RS512")), &claims()), Refusal::Signature),
        (provider.key.sign(&header("kid", json!(7)), &claims()), Refusal::Malformed),
        (provider.key.sign(&header("kid", json!("../key-1")), &claims()), Refusal::UnknownKey),
        (provider.key.sign(&header("kid", json!("")), &claims()), Refusal::UnknownKey),
        (provider.key.sign(&json!({"alg": "RS256"}), &claims()), Refusal::UnknownKey),
        (provider.key.sign(&json!({"kid": "key-1"}), &claims()), Refusal::Malformed),
    ] {
        assert_eq!(provider.refusal(&token).await, expected, "{token}");
    }
    assert_eq!(keys.requests(), 0, "a token does not say where keys are fetched");
}

#[tokio::test]
async fn the_public_key_is_not_the_secret_of_an_hmac() {
    let provider = Provider::with(SigningKey::rsa("key-1")).await;
    let message = signing_input(&json!({"alg": "HS256", "kid": "key-1"}), &claims());
    for secret in [provider.key.public_der(), provider.key.jwk().to_string().into_bytes(), Vec::new()] {
        let token = format!("{message}.{}", encode(hmac_sha256(&secret, message.as_bytes())));
        assert_eq!(provider.refusal(&token).await, Refusal::Algorithm);
    }
}

#[tokio::test]
async fn a_symmetric_key_is_not_taken_even_from_the_provider() {
    let provider = Provider::new().await;
    let secret = json!({"kty": "oct", "k": encode("secret"), "kid": "key-2", "alg": "HS256"});
    provider.server.publish(Published::Keys(vec![provider.key.jwk(), secret]));
    let message = signing_input(&json!({"alg": "HS256", "kid": "key-2"}), &claims());
    let token = format!("{message}.{}", encode(hmac_sha256(b"secret", message.as_bytes())));
    assert_eq!(provider.refusal(&token).await, Refusal::Algorithm);
}

fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
}

#[tokio::test]
async fn garbage_is_refused_without_asking_the_provider() {
    let provider = Provider::new().await;
    let good = provider.key.token(&claims());
    assert!(provider.verifier.verify(&good).await.is_ok());
    let asked = provider.server.requests();
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let changed = |part: &str| {
        if part.starts_with('A') { part.replacen('A', "B", 1) } else { format!("A{}", &part[1..]) }
    };
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "\u{0}\u{0}.\u{0}.\u{0}".to_owned(),
        format!("{header}.{body}"),
        format!("{header}.{body}."),
        format!("{header}.{body}.{signature}."),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}.{}.{signature}", changed(body)),
        format!("{header}.{body}.{}", changed(signature)),
        format!("{header}..{signature}"),
        format!(".{body}.{signature}"),
        format!(" {good}"),
        good.to_uppercase(),
        format!("{}.{body}.{signature}", encode("[".repeat(10_000))),
        format!("{}.{body}.{signature}", encode(r#"{"alg":"ES256","alg":"none","kid":"key-1"}"#)),
    ] {
        assert!(provider.verifier.verify(&token).await.is_err(), "{token}");
    }
    let long = provider.key.token(&but("padding", json!("x".repeat(MAX_TOKEN_BYTES))));
    assert_eq!(provider.refusal(&long).await, Refusal::TooLong);
    assert_eq!(provider.refusal(&"x".repeat(1 << 20)).await, Refusal::TooLong);
    assert_eq!(provider.server.requests(), asked);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_the_old_one_is_forgotten() {
    let provider = Provider::new().await;
    let old = provider.key.token(&claims());
    assert!(provider.verifier.verify(&old).await.is_ok());
    let new_key = SigningKey::rsa("key-2");
    provider.server.publish(Published::Keys(vec![new_key.jwk()]));
    assert_eq!(provider.verifier.verify(&new_key.token(&claims())).await, Ok(jane()));
    assert_eq!(provider.refusal(&old).await, Refusal::UnknownKey);
}

#[tokio::test]
async fn unknown_keys_make_the_provider_be_asked_at_a_bounded_rate() {
    let provider = Provider::new().await;
    assert!(provider.verifier.verify(&provider.key.token(&claims())).await.is_ok());
    let before = provider.server.requests();
    let strangers = (0..50).map(|number| SigningKey::ed25519(&format!("stranger-{number}")).token(&claims()));
    let refusals = strangers.map(|token| {
        let verifier = provider.verifier.clone();
        tokio::spawn(async move { verifier.verify(&token).await })
    });
    for refusal in futures::future::join_all(refusals).await {
        assert_eq!(refusal.unwrap(), Err(Refusal::UnknownKey));
    }
    for number in 0..50 {
        let stranger = SigningKey::ed25519(&format!("another-{number}"));
        assert_eq!(provider.refusal(&stranger.token(&claims())).await, Refusal::UnknownKey);
    }
    // Three at once, and one more for every ten seconds that the test took.
    let asked = provider.server.requests() - before;
    assert!((1..=9).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn the_last_good_keys_stay_while_the_provider_is_away_or_talks_nonsense() {
    let provider = Provider::new().await;
    let token = provider.key.token(&claims());
    assert!(provider.verifier.verify(&token).await.is_ok());
    for nonsense in [
        Published::Text(500, String::new()),
        Published::Text(200, "<html>Sign in</html>".to_owned()),
        Published::Keys(Vec::new()),
        Published::Text(200, " ".repeat(1 << 20)),
    ] {
        provider.server.publish(nonsense);
        provider.verifier.verify(&SigningKey::ec("key-2").token(&claims())).await.unwrap_err();
        assert_eq!(provider.verifier.verify(&token).await, Ok(jane()));
    }
    drop(provider.server);
    assert_eq!(provider.verifier.verify(&token).await, Ok(jane()));
}

#[tokio::test]
async fn kept_keys_work_after_a_restart_while_the_provider_is_away() {
    let provider = Provider::new().await;
    let token = provider.key.token(&claims());
    assert!(provider.verifier.verify(&token).await.is_ok());
    let url = provider.server.url();
    drop(provider.server);
    let restarted = verifier(&[url], provider.directory.path());
    assert_eq!(restarted.verify(&token).await, Ok(jane()));
    // Of another address they are not.
    let elsewhere = verifier(&["http://127.0.0.1:1/keys".to_owned()], provider.directory.path());
    assert_eq!(elsewhere.verify(&token).await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn damaged_kept_keys_are_as_good_as_none() {
    let provider = Provider::new().await;
    let token = provider.key.token(&claims());
    assert!(provider.verifier.verify(&token).await.is_ok());
    for file in std::fs::read_dir(provider.directory.path().join("keys")).unwrap() {
        std::fs::write(file.unwrap().path(), "{\"keys\":[{").unwrap();
    }
    let restarted = verifier(&[provider.server.url()], provider.directory.path());
    assert_eq!(restarted.verify(&token).await, Ok(jane()));
}

#[tokio::test]
async fn one_provider_that_hangs_does_not_concern_the_tokens_of_another() {
    let silent = KeyServer::start(Published::Silence).await;
    let key = SigningKey::ec("key-1");
    let server = KeyServer::start(Published::Keys(vec![key.jwk()])).await;
    let directory = tempfile::tempdir().unwrap();
    let verifier = verifier(&[silent.url(), server.url()], directory.path());
    let jane_is = tokio::time::timeout(LONG, verifier.verify(&key.token(&claims()))).await;
    assert_eq!(jane_is.unwrap(), Ok(jane()));
    let stranger = SigningKey::ec("key-2").token(&claims());
    let refused = tokio::time::timeout(LONG, verifier.verify(&stranger)).await;
    assert_eq!(refused.unwrap(), Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn two_providers_may_have_keys_of_the_same_id() {
    let (first, second) = (SigningKey::ec("key-1"), SigningKey::rsa("key-1"));
    let servers = [
        KeyServer::start(Published::Keys(vec![first.jwk()])).await,
        KeyServer::start(Published::Keys(vec![second.jwk()])).await,
    ];
    let directory = tempfile::tempdir().unwrap();
    let verifier = verifier(&servers.each_ref().map(KeyServer::url), directory.path());
    for key in [first, second] {
        assert_eq!(verifier.verify(&key.token(&claims())).await, Ok(jane()));
    }
}
