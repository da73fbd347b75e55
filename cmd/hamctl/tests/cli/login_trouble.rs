//! What an identity provider answers when it, or the way to it, is in trouble: a sentence, the
//! right exit status, and no login that is half there.

use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::{login::Waiting, program::Program, server::Server};

const DEVICE: &str = r#"{"device_code":"s3cret-device","user_code":"AB-CD",
    "verification_uri":"http://idp.example.com/device",
    "verification_uri_complete":"http://idp.example.com/device?user_code=AB-CD","expires_in":600,"interval":1}"#;
const TOKEN: &str = r#"{"access_token":"s3cret-access","token_type":"Bearer","expires_in":3600}"#;
const STILL_TRYING: &str = "; still trying";
const PENDING: &str = r#"{"error":"authorization_pending"}"#;

fn provider() -> Server {
    Server::start().on("POST /v1/device/authorize", 200, DEVICE)
}

/// Of `hamctl login`; nothing that it prints is secret, and there is no login when it fails.
fn login(provider: &Server) -> String {
    let program = Program::with_login(provider, &provider.url());
    let shown = program.run(&["login"]);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(shown.starts_with("exit 0\n"), program.token_file().exists(), "{shown}");
    hide_causes(&shown)
}

/// Where exactly a connection breaks depends on the machine.
fn hide_causes(shown: &str) -> String {
    const BEFORE: &str = "before the answer was complete: ";
    let hide = |line: &str| match line.split_once(BEFORE) {
        Some((start, cause)) => {
            let end = cause.strip_suffix(STILL_TRYING).map_or("", |_| STILL_TRYING);
            format!("{start}{BEFORE}[cause]{end}")
        }
        None => line.to_owned(),
    };
    shown.lines().map(hide).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_provider_that_is_away_for_a_moment_is_waited_for() {
    let provider = provider()
        .on("POST /v1/token", 400, PENDING)
        .on("POST /v1/token", 503, "<html>")
        .cuts("POST /v1/token", r#"{"access_token":"s3cret-half"#)
        .on("POST /v1/token", 429, "")
        .on("POST /v1/token", 200, TOKEN);
    assert_snapshot!(login(&provider), @"
    exit 0
    Logged in as somebody whom the provider does not name
    -- stderr
    To log in, open http://idp.example.com/device and enter the code AB-CD
    or open http://idp.example.com/device?user_code=AB-CD
    Waiting for you to confirm the login …
    the identity provider at [server] has trouble: it answered 503; still trying
    the connection to the identity provider at [server] broke before the answer was complete: [cause]; still trying
    the identity provider at [server] has trouble: it answered 429; still trying
    ");
}

#[test]
fn a_provider_that_wants_fewer_questions_gets_fewer() {
    let provider =
        provider().on("POST /v1/token", 400, r#"{"error":"slow_down"}"#).on("POST /v1/token", 200, TOKEN);
    let started = Instant::now();
    let shown = login(&provider);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    assert!(started.elapsed() >= Duration::from_secs(6), "one second, and five more");
}

#[test]
fn a_code_that_the_provider_calls_expired() {
    let provider = provider().on("POST /v1/token", 400, r#"{"error":"expired_token"}"#);
    assert_snapshot!(login(&provider), @"
    exit 1
    -- stderr
    To log in, open http://idp.example.com/device and enter the code AB-CD
    or open http://idp.example.com/device?user_code=AB-CD
    Waiting for you to confirm the login …
    error: the code was not confirmed in time
    hint: try again with 'hamctl login'
    ");
}

#[test]
fn a_provider_that_is_not_there() {
    let server = Server::start();
    let program = Program::with_login(&server, "http://127.0.0.1:1");
    assert_snapshot!(program.run(&["login"]), @"
    exit 1
    -- stderr
    error: the identity provider at http://127.0.0.1:1 cannot be reached: Connection refused (os error 111)
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 1
    -- stderr
    error: the identity provider at http://127.0.0.1:1 cannot be reached: Connection refused (os error 111)
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
    assert!(server.requests().is_empty());
}

#[test]
fn answers_that_are_not_from_a_provider() {
    let cut = Server::start().cuts("POST /v1/device/authorize", r#"{"device_code":"s3cret"#);
    assert_snapshot!(login(&cut), @"
    exit 1
    -- stderr
    error: the connection to the identity provider at [server] broke before the answer was complete: [cause]
    hint: try again in a moment
    ");
    assert_snapshot!(login(&Server::start().on("POST /v1/device/authorize", 200, "<html>s3cret</html>")), @"
    exit 1
    -- stderr
    error: [server] answered with something that is not from an identity provider
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
    assert_snapshot!(login(&Server::start()), @"
    exit 1
    -- stderr
    error: [server] answered with something that is not from an identity provider
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
    let token = provider().on("POST /v1/token", 200, r#"{"access_token":"s3cret-access"}"#);
    assert_snapshot!(login(&token), @"
    exit 1
    -- stderr
    To log in, open http://idp.example.com/device and enter the code AB-CD
    or open http://idp.example.com/device?user_code=AB-CD
    Waiting for you to confirm the login …
    error: [server] answered with something that is not from an identity provider
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
}

#[test]
fn a_refusal_says_why() {
    let refusal = r#"{"error":"invalid_client","error_description":"no such\u001b[2J client"}"#;
    let provider = Server::start().on("POST /v1/device/authorize", 401, refusal);
    assert_snapshot!(login(&provider), @"
    exit 1
    -- stderr
    error: the identity provider refused with invalid_client: no such�[2J client
    hint: check HAMCTL_OAUTH_CLIENT_ID and HAMCTL_OAUTH_SCOPES with the people who run the provider
    ");
}

#[test]
fn secrets_do_not_follow_a_discovery_to_plain_http() {
    let discovery = r#"{"token_endpoint":"http://idp.example.com/token"}"#;
    let provider = provider().on("GET /.well-known/openid-configuration", 200, discovery);
    assert_snapshot!(login(&provider), @"
    exit 1
    -- stderr
    error: the identity provider names an endpoint at http://idp.example.com, which is not https
    hint: check HAMCTL_OAUTH_IDP_URL, your network and VPN
    ");
}

#[test]
fn a_login_is_configured_completely_or_not_at_all() {
    let program = Program::new();
    assert_snapshot!(program.run(&["login"]), @"
    exit 2
    -- stderr
    error: it is not known where to log in
    hint: set HAMCTL_OAUTH_IDP_URL
    ");
    let program = program.with("HAMCTL_OAUTH_IDP_URL", "http://idp.example.com");
    assert_snapshot!(program.run(&["login"]), @"
    exit 2
    -- stderr
    error: it is not known as what to log in
    hint: set HAMCTL_OAUTH_CLIENT_ID
    ");
    let program = program.with("HAMCTL_OAUTH_CLIENT_ID", "hamctl");
    assert_snapshot!(program.run(&["login"]), @"
    exit 2
    -- stderr
    error: HAMCTL_OAUTH_IDP_URL must begin with https://, because secrets are sent there
    ");
}

#[test]
fn a_login_that_is_interrupted_leaves_nothing() {
    let provider = provider().on("POST /v1/token", 400, PENDING);
    let program = Program::with_login(&provider, &provider.url());
    Waiting::start(&program, &["login"]).interrupt();
    assert!(!program.token_file().exists());
}

#[test]
fn a_damaged_file_is_named_and_a_new_login_repairs_it() {
    let provider = provider().on("POST /v1/token", 200, TOKEN).on("GET /status?service=svc", 200, "{}");
    let program = Program::with_login(&provider, &provider.url());
    std::fs::create_dir_all(program.token_file().parent().unwrap()).unwrap();
    std::fs::write(program.token_file(), r#"{"access_token":"s3cret"#).unwrap();
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 1
    -- stderr
    error: the login in [home]/.config/release-manager/token.json cannot be read: it is not what a login looks like
    hint: see that you may read and write it, or remove it and log in with 'hamctl login'
    ");
    program.hamctl().arg("login").assert().success();
    program.hamctl().args(["status", "--service", "svc"]).assert().success();
}

#[test]
fn the_page_can_be_shown_as_a_qr_code() {
    let provider = provider().on("POST /v1/token", 200, TOKEN);
    let program = Program::with_login(&provider, &provider.url());
    assert_snapshot!(program.run(&["login", "--qr"]), @"
    exit 0
    Logged in as somebody whom the provider does not name
    -- stderr
    To log in, open http://idp.example.com/device and enter the code AB-CD
    or open http://idp.example.com/device?user_code=AB-CD
    █████████████████████████████████████████
    █████████████████████████████████████████
    ████ ▄▄▄▄▄ █▀ ▀▀▄▄██ ▄ █▀▄ █▀█ ▄▄▄▄▄ ████
    ████ █   █ █ █▄▄ █ ▄ █▀  ▄▀▀ █ █   █ ████
    ████ █▄▄▄█ ██       ▄▄█▀▄▄████ █▄▄▄█ ████
    ████▄▄▄▄▄▄▄█ █▄█ █ ▀ █▄▀ █ ▀ █▄▄▄▄▄▄▄████
    ████ █▀▀▀█▄█ █▀▄█ ▄▀█   █▀ ▀█▄▄▀▀   █████
    █████▄ ▀ ▄▄  ▀██▀ ▄ ▄ ▀▀▄▀▄██ █▀ ▀  █████
    ████▄▄▀▀▄▄▄  ▀  ▀ █▄█ ▀▄█ █▄▄   ██▀▀ ████
    ████▀███▄ ▄▀███ ▄▀▀▄ ▄██ ▄▄██▀  ▀▀▀▄▀████
    ████▀██▄█▀▄▄▀ ▀█▀ ▀ ▀▄▀▀▀█  ▄▄▀▄▄  █ ████
    █████▄ ▀▀ ▄▀▀█ █▄▀ ▄█▄▄  ▄  ▄▀█▀▀  ▀ ████
    ████▀█▀█▀ ▄▄▄ █▀ ▀▄███▄▄█▄█  ▄▀   ███████
    ████ █▄▀█ ▄▀▀█ ▄ █▄▀▀█▀ ▀▄█▀ ▄█▀  ▀ █████
    ████▄▄▄█▄▄▄▄▀▄▄ █▀█▀ ▀▀▀▄▀█▄ ▄▄▄ ▄▀▀▀████
    ████ ▄▄▄▄▄ ██  ▄▀   █ ▀█▄▀ ▄ █▄█ █  ▀████
    ████ █   █ ███▀ ▀█ ▄▄█▀█▄ ▄█  ▄▄ ▄▀▄▀████
    ████ █▄▄▄█ ██ ▀ █▀ ▄█▄█▄█▄█▄ ██▄ ▀▀▄▄████
    ████▄▄▄▄▄▄▄█▄▄▄████▄▄▄████▄▄▄▄█▄▄██▄█████
    █████████████████████████████████████████
    ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀
    Waiting for you to confirm the login …
    ");
}
