//! CI that logs in at a real identity provider.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use axum::http::StatusCode;
use insta::assert_snapshot;
use release_testing::identity_provider::{CLIENT_SECRET, IdentityProvider, Settings};

use crate::{
    Job,
    push::{Server, built_job},
    report,
};

fn push(job: &Job, server: &Server, provider: &str, secret: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("artifact"));
    command.env_clear().current_dir(job.root.path()).arg("push");
    command.env("ARTIFACT_URL", &server.url).env("ARTIFACT_IDP_URL", provider);
    command.env("ARTIFACT_CLIENT_ID", "artifact").env("ARTIFACT_CLIENT_SECRET", secret);
    command
}

#[test]
fn one_token_of_the_provider_is_enough_for_all_attempts() {
    let provider = IdentityProvider::start(Settings::default());
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let server = Server::start(&[busy, busy], &[]);
    let output = push(&built_job(), &server, &provider.url(), CLIENT_SECRET).output().unwrap();
    assert!(output.status.success(), "{}", report(&output));
    let authorization = server.authorization();
    let (upload, creates) = authorization.split_last().unwrap();
    assert_eq!(*upload, None);
    let token = creates[0].as_ref().unwrap();
    assert!(token.starts_with("Bearer ey"), "{token}");
    assert_eq!(creates, vec![Some(token.clone()); 3]);
}

#[test]
fn a_wrong_secret_is_told_and_not_shown() {
    let provider = IdentityProvider::start(Settings::default());
    let server = Server::start(&[], &[]);
    let output = push(&built_job(), &server, &provider.url(), "hunter2").output().unwrap();
    assert_snapshot!(report(&output), @"
    exit: 1
    stderr:
    Pushing artifact master-1-2 of service svc …
    error: the artifact was not pushed: the identity provider refused with invalid_client: client authentication failed
    hint: check ARTIFACT_CLIENT_ID, ARTIFACT_CLIENT_SECRET and ARTIFACT_SCOPE
    ");
    assert!(server.seen().is_empty());
}

#[test]
fn a_provider_that_is_away_is_waited_for() {
    let mut provider = IdentityProvider::start(Settings::default());
    let server = Server::start(&[], &[]);
    provider.kill();
    let job = built_job();
    let mut command = push(&job, &server, &provider.url(), CLIENT_SECRET);
    let mut push = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let (mut stderr, mut shown) = (BufReader::new(push.stderr.take().unwrap()), String::new());
    while !shown.contains("trying again in") {
        assert_ne!(stderr.read_line(&mut shown).unwrap(), 0, "it ended: {shown}");
    }
    provider.restart();
    stderr.read_to_string(&mut shown).unwrap();
    assert!(push.wait().unwrap().success(), "{shown}");
}

#[test]
fn a_provider_that_cannot_be_used_is_wrong_usage() {
    let server = Server::start(&[], &[]);
    let insecure = push(&built_job(), &server, "http://idp.example.com", "hunter2").output().unwrap();
    assert_snapshot!(report(&insecure), @"
    exit: 2
    stderr:
    error: --idp-url (ARTIFACT_IDP_URL) must begin with https://, because secrets are sent there
    ");
    let job = built_job();
    let mut incomplete = push(&job, &server, "https://idp.example.com", "hunter2");
    let incomplete = incomplete.env_remove("ARTIFACT_CLIENT_SECRET").output().unwrap();
    assert!(report(&incomplete).starts_with("exit: 2"), "{}", report(&incomplete));
}
