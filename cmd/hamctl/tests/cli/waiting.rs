//! --wait

use insta::assert_snapshot;

use crate::{program::Program, server::Server};

const ID: &str = "00000000-0000-0000-0000-000000000001";

fn accepting() -> Server {
    Server::start().on("POST /release", 200, &format!(r#"{{"releaseId":"{ID}"}}"#))
}

fn in_state(server: Server, rest: &str) -> Server {
    let status = format!(
        r#"{{"releaseId":"{ID}","service":"svc","environment":"dev","artifactId":"master-1-2",{rest}}}"#
    );
    server.on(&format!("GET /api/v1/releases/{ID}"), 200, &status)
}

fn run(server: &Server, more: &[&str]) -> String {
    let arguments = ["release", "--service", "svc", "--artifact", "master-1-2", "--env", "dev", "--wait"];
    Program::for_server(server).run(&[&arguments, more].concat())
}

#[test]
fn a_release_is_followed_until_its_commit_is_on_the_remote() {
    let server = in_state(accepting(), r#""state":"queued","queuePosition":2"#);
    let server = in_state(server, r#""state":"queued","queuePosition":2"#);
    let server = in_state(server, r#""state":"queued","queuePosition":0,"message":"the remote is down""#);
    let server = in_state(server, r#""state":"releasing""#);
    let server = in_state(server, r#""state":"released","commit":"0123456789abcdef""#);
    assert_snapshot!(run(&server, &[]), @"
    exit 0
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: queued, 2 in front of it
    Release of master-1-2 to dev: queued, next (the remote is down)
    Release of master-1-2 to dev: being written to the config repository
    ");
}

#[test]
fn a_release_that_fails_or_changes_nothing_is_told() {
    let server = in_state(accepting(), r#""state":"failed","message":"the zip has no directory dev""#);
    assert_snapshot!(run(&server, &[]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [X] Release of master-1-2 to dev failed: the zip has no directory dev
    -- stderr
    Release of master-1-2 to dev: accepted
    ");
    let server = in_state(accepting(), r#""state":"unchanged""#);
    assert_snapshot!(run(&server, &["--output", "json"]), @r#"
    exit 0
    [
      {
        "environment": "dev",
        "artifactId": "master-1-2",
        "releaseId": "00000000-0000-0000-0000-000000000001",
        "state": "unchanged"
      }
    ]
    -- stderr
    Release of master-1-2 to dev: accepted
    "#);
}

#[test]
fn nothing_is_followed_when_there_was_nothing_to_do() {
    let server =
        Server::start().on("POST /release", 200, r#"{"status":"Environment 'dev' is already up-to-date"}"#);
    assert_snapshot!(run(&server, &[]), @"
    exit 0
    Release of service svc using artifact master-1-2
    [✓] Environment 'dev' is already up-to-date
    ");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_older_server_cannot_be_waited_for() {
    assert_snapshot!(run(&accepting(), &[]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [X] Release of master-1-2 to dev was accepted, but cannot be followed: the server is too old to tell how far a release is (reference: [id])
    -- stderr
    Release of master-1-2 to dev: accepted
    hint: look at hamctl status
    ");
    let server = Server::start().on("POST /release", 200, "{}");
    assert_snapshot!(run(&server, &[]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [X] Release of master-1-2 to dev was accepted, but the server gave no id to follow it by
    -- stderr
    Release of master-1-2 to dev: accepted
    hint: look at hamctl status
    ");
}

#[test]
fn waiting_ends() {
    let server = in_state(accepting(), r#""state":"queued","queuePosition":2"#);
    assert_snapshot!(run(&server, &["--wait-timeout", "2s"]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [X] Release of master-1-2 to dev was accepted, but is not done in time
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: queued, 2 in front of it
    hint: it may still be done; look at hamctl status, or wait longer with --wait-timeout
    ");
}
