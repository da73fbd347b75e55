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

/// `--wait=healthy`, with these answers one after the other.
fn run_healthy(answers: &[&str], more: &[&str]) -> String {
    let released = r#""state":"released","commit":"0123456789abcdef""#;
    let server =
        answers.iter().fold(accepting(), |server, rest| in_state(server, &format!("{released}{rest}")));
    let arguments =
        ["release", "--service", "svc", "--artifact", "master-1-2", "--env", "dev", "--wait=healthy"];
    Program::for_server(&server).run(&[&arguments, more].concat())
}

fn rollout(state: &str, available: u32, error: &str) -> String {
    let error = if error.is_empty() { String::new() } else { format!(r#","error":"{error}""#) };
    format!(
        r#","rollout":{{"state":"{state}","since":"2021-06-23T08:45:00Z","available":{available},"desired":3{error}}}"#
    )
}

#[test]
fn a_release_is_followed_until_all_of_it_runs() {
    let answers = [
        "",
        &rollout("released", 0, "Kustomization flux/apps: build failed"),
        &rollout("applying", 0, ""),
        &rollout("running", 1, ""),
        &rollout("healthy", 3, ""),
    ];
    assert_snapshot!(run_healthy(&answers, &[]), @"
    exit 0
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    [✓] Release of master-1-2 to dev is healthy 3/3
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: released; no daemon has told of the cluster yet
    Release of master-1-2 to dev: released 0/3 (Kustomization flux/apps: build failed)
    Release of master-1-2 to dev: applying 0/3
    Release of master-1-2 to dev: running 1/3
    ");
}

#[test]
fn a_release_that_fails_in_the_cluster_fails_with_its_own_error() {
    let failed = rollout("failed", 1, "api: CrashLoopBackOff: no database");
    assert_snapshot!(run_healthy(&[&failed], &[]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    [X] Release of master-1-2 to dev failed in the cluster: api: CrashLoopBackOff: no database
    -- stderr
    Release of master-1-2 to dev: accepted
    ");
}

#[test]
fn a_release_that_is_replaced_is_followed_no_longer() {
    let answers = [&rollout("running", 1, ""), r#","supersededBy":"master-3-4""#];
    assert_snapshot!(run_healthy(&answers, &[]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    [X] Release of master-1-2 to dev was replaced by a later release, of master-3-4, before it was healthy
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: running 1/3
    ");
}

#[test]
fn waiting_for_the_cluster_ends_and_says_how_far_it_is() {
    assert_snapshot!(run_healthy(&[&rollout("running", 1, "")], &["--wait-timeout", "2s"]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    [X] Release of master-1-2 to dev is not healthy in time, but running 1/3
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: running 1/3
    hint: it may still get there; look at hamctl status, or wait longer with --wait-timeout
    ");
    assert_snapshot!(run_healthy(&[""], &["--wait-timeout", "2s"]), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Release of master-1-2 to dev initialized
    [✓] Release of master-1-2 to dev is done (commit 0123456789abcdef)
    [X] no daemon tells what becomes of releases to dev
    -- stderr
    Release of master-1-2 to dev: accepted
    Release of master-1-2 to dev: released; no daemon has told of the cluster yet
    hint: see to the daemon of that cluster, or use --wait=released
    ");
}

#[test]
fn what_was_released_before_is_looked_at_too() {
    let up_to_date = r#"{"status":"Environment 'dev' is already up-to-date"}"#;
    let failing = r#"{"environments":[{"name":"dev","tag":"master-1-2","rollout":{"state":"failed","since":"2021-06-23T08:45:00Z","available":0,"desired":3,"error":"out of memory"}}]}"#;
    let server = Server::start().on("POST /release", 200, up_to_date).on(
        "GET /api/v1/status?service=svc",
        200,
        failing,
    );
    let arguments =
        ["release", "--service", "svc", "--artifact", "master-1-2", "--env", "dev", "--wait=healthy"];
    assert_snapshot!(Program::for_server(&server).run(&arguments), @"
    exit 1
    Release of service svc using artifact master-1-2
    [✓] Environment 'dev' is already up-to-date
    [X] Release of master-1-2 to dev failed in the cluster: out of memory
    -- stderr
    Release of master-1-2 to dev: accepted
    ");
}

#[test]
fn one_environment_that_hangs_does_not_take_the_time_of_the_others() {
    const OTHER: &str = "00000000-0000-0000-0000-000000000002";
    let server = in_state(accepting(), r#""state":"queued","queuePosition":2"#)
        .on("POST /release", 200, &format!(r#"{{"releaseId":"{OTHER}"}}"#))
        .on(
            &format!("GET /api/v1/releases/{OTHER}"),
            200,
            &format!(
                r#"{{"releaseId":"{OTHER}","service":"svc","environment":"prod","artifactId":"master-1-2","state":"released","commit":"0123456789abcdef"}}"#
            ),
        );
    let arguments = ["--env", "prod", "--wait-timeout", "2s"];
    let shown = run(&server, &arguments);
    assert!(
        shown.contains("[X] Release of master-1-2 to dev was accepted, but is not done in time"),
        "{shown}"
    );
    assert!(shown.contains("[✓] Release of master-1-2 to prod is done"), "{shown}");
}

#[test]
fn a_release_of_which_nothing_runs_is_said_to_be_released() {
    let nothing = rollout("healthy", 0, "").replace(r#""desired":3"#, r#""desired":0"#);
    let shown = run_healthy(&[&nothing.replace("healthy", "released"), &nothing], &[]);
    assert!(
        shown.contains("[✓] Release of master-1-2 to dev is released; nothing of it runs in the cluster"),
        "{shown}"
    );
    let stage = "Release of master-1-2 to dev: released; the cluster has told of none of its workloads yet";
    assert!(shown.contains(stage), "{shown}");
}
