//! Client credentials: how often the provider is asked. Provider and server are the same listener here.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use release_client::{
    Client, ClientConfig, ClientError, Credentials, MachineLogin, ProviderConfig, Secret, parse_base_url,
    parse_provider_url,
};

use crate::server::{Answer, Server};

fn client(server: &Server) -> Client {
    let login = MachineLogin::new(ProviderConfig {
        url: parse_provider_url(&server.url()).unwrap(),
        client_id: "artifact".into(),
        client_secret: Some(Secret::new("hunter2")),
        scopes: vec!["release_artifact".into()],
    });
    let config = ClientConfig {
        base_url: parse_base_url(&server.url()).unwrap(),
        timeout: Duration::from_mins(1),
        credentials: Credentials::Machine(Arc::new(login)),
        cli_version: "1".into(),
        trace: || None,
    };
    assert!(!format!("{config:?}").contains("hunter2"));
    Client::new(config).unwrap()
}

fn token(text: &str, seconds: u32) -> Answer {
    let body = format!(r#"{{"access_token":"{text}","token_type":"bearer","expires_in":{seconds}}}"#);
    Answer::json(200, &body)
}

/// The paths of all requests, with the token where it is the server's turn.
fn seen(server: &Server) -> Vec<String> {
    let show = |seen: &crate::server::Seen| {
        let path = seen.line.split('?').next().unwrap();
        match seen.header("authorization") {
            token if token.starts_with("Bearer") => format!("{path} {token}"),
            _ => path.to_owned(),
        }
    };
    server.requests().iter().map(show).collect()
}

const DISCOVERY: &str = "GET /.well-known/openid-configuration";

#[tokio::test]
async fn all_calls_share_one_token_until_shortly_before_its_end() {
    let none = || Answer::json(404, "{}");
    let server = Server::start([none(), token("one", 3600), Answer::json(200, "{}")]).await;
    let client = client(&server);
    for result in join_all((0..5).map(|_| client.status("svc", ""))).await {
        result.unwrap();
    }
    let expected = [vec![DISCOVERY, "POST /v1/token"], vec!["GET /status Bearer one"; 5]].concat();
    assert_eq!(seen(&server), expected);
    assert!(server.requests()[1].body.contains("scope=release_artifact"));
}

#[tokio::test]
async fn a_token_that_ends_soon_or_is_not_accepted_is_replaced() {
    let none = || Answer::json(404, "{}");
    let done = || Answer::json(200, "{}");
    let refused = Answer::json(401, r#"{"status":401,"message":"no"}"#);
    let server = Server::start([
        none(),
        token("short", 20),
        done(),
        none(),
        token("revoked", 3600),
        refused,
        none(),
        token("long", 3600),
        done(),
    ])
    .await;
    let client = client(&server);
    client.status("svc", "").await.unwrap();
    let error = client.status("svc", "").await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error}");
    client.status("svc", "").await.unwrap();
    let statuses: Vec<_> = seen(&server).into_iter().filter(|line| line.contains("/status")).collect();
    let expected = ["short", "revoked", "long"].map(|token| format!("GET /status Bearer {token}"));
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_provider_in_trouble_is_asked_again_and_then_named() {
    let server = Server::start([Answer::json(503, "{}")]).await;
    let error = client(&server).status("svc", "").await.unwrap_err();
    assert!(matches!(&error, ClientError::NoToken(error) if error.is_transient()), "{error}");
    assert_eq!(
        error.to_string(),
        format!("the identity provider at {} has trouble: it answered 503", server.url())
    );
    assert!(server.requests().len() > 2, "{:?}", seen(&server));
}
