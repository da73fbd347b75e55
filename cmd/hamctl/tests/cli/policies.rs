//! policy.

use insta::assert_snapshot;

use crate::{program::Program, server::Server};

pub(crate) const POLICIES: &str = r#"{"service":"svc",
    "autoReleases":[{"id":"auto-release-master-dev","branch":"master","environment":"dev"},
        {"id":"auto-release-develop-staging","branch":"develop","environment":"staging"}],
    "branchRestrictions":[{"branchRegex":"^(master|hotfix/.+)$","environment":"prod"},
        {"id":"branch-restriction-staging","branchRegex":"^develop$","environment":"staging"}]}"#;
const NONE: &str = r#"{"status":404,"message":"service 'svc' has no policies"}"#;

#[test]
fn list_shows_aligned_tables() {
    let program = Program::for_server(&Server::start().on("GET /policies?service=svc", 200, POLICIES));
    assert_snapshot!(program.run(&["policy", "list", "--service", "svc"]), @"
    exit 0
    Policies of service svc

    Auto-release of  To       Id
    master           dev      auto-release-master-dev
    develop          staging  auto-release-develop-staging

    Only branches like    To       Id
    ^(master|hotfix/.+)$  prod     (all services)
    ^develop$             staging  branch-restriction-staging
    ");
}

#[test]
fn list_is_there_for_programs() {
    let program = Program::for_server(&Server::start().on("GET /policies?service=svc", 200, POLICIES));
    assert_snapshot!(program.run(&["policy", "list", "--service=svc", "--output", "yaml"]), @"
    exit 0
    service: svc
    autoReleases:
    - id: auto-release-master-dev
      branch: master
      environment: dev
    - id: auto-release-develop-staging
      branch: develop
      environment: staging
    branchRestrictions:
    - branchRegex: ^(master|hotfix/.+)$
      environment: prod
    - id: branch-restriction-staging
      branchRegex: ^develop$
      environment: staging
    ");
    let template =
        "{{ range .BranchRestrictions }}{{ .ID }}|{{ .BranchRegex }}|{{ .Environment }}\n{{ end }}";
    assert_snapshot!(program.run(&["policy", "list", "--service=svc", "--template", template]), @"
    exit 0
    |^(master|hotfix/.+)$|prod
    branch-restriction-staging|^develop$|staging
    ");
}

#[test]
fn having_no_policies_is_no_error() {
    let program = Program::for_server(&Server::start().on("GET /policies?service=svc", 404, NONE));
    assert_snapshot!(program.run(&["policy", "list", "--service", "svc"]), @"
    exit 0
    Service svc has no policies
    ");
    assert_snapshot!(program.run(&["policy", "list", "--service", "svc", "--output", "json"]), @r#"
    exit 0
    {
      "service": "svc"
    }
    "#);
}

#[test]
fn apply_sends_the_policy_and_who_applies_it() {
    let server = Server::start()
        .on(
            "PATCH /policies/auto-release",
            201,
            r#"{"id":"auto-release-master-dev","service":"svc","branch":"master","environment":"dev"}"#,
        )
        .on(
            "PATCH /policies/branch-restriction",
            201,
            r#"{"id":"branch-restriction-prod","service":"svc","branchRegex":"^master$","environment":"prod"}"#,
        );
    let program = Program::for_server(&server);
    let auto = ["policy", "apply", "auto-release", "--service", "svc", "-b", "master", "-e", "dev"];
    assert_snapshot!(program.run(&auto), @"
    exit 0
    [✓] Policy auto-release-master-dev applied to service svc
    ");
    let restrict = [
        "policy",
        "--service",
        "svc",
        "apply",
        "branch-restriction",
        "-e",
        "prod",
        "--branch-regex",
        "^master$",
    ];
    assert_snapshot!(program.run(&[&restrict[..], &["--output", "json"]].concat()), @r#"
    exit 0
    {
      "id": "branch-restriction-prod",
      "service": "svc",
      "branchRegex": "^master$",
      "environment": "prod"
    }
    "#);
    assert_eq!(
        server.requests(),
        [
            r#"PATCH /policies/auto-release {"service":"svc","branch":"master","environment":"dev","committerName":"Jane Doe","committerEmail":"jane@example.com"}"#,
            r#"PATCH /policies/branch-restriction {"service":"svc","branchRegex":"^master$","environment":"prod","committerName":"Jane Doe","committerEmail":"jane@example.com"}"#,
        ]
    );
}

#[test]
fn delete_tells_how_many() {
    let server = Server::start().on("DELETE /policies", 200, r#"{"service":"svc","count":2}"#);
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["policy", "delete", "--service", "svc", "a", "b"]), @"
    exit 0
    [✓] 2 policies of service svc deleted
    ");
    assert_eq!(
        server.requests(),
        [
            r#"DELETE /policies {"service":"svc","policyIds":["a","b"],"committerName":"Jane Doe","committerEmail":"jane@example.com"}"#
        ]
    );
}

#[test]
fn what_the_server_refuses_is_told_and_fails() {
    let conflict = r#"{"status":400,"message":"the policy is in conflict with others: policy 'auto-release-dev-prod' releases branch 'dev', which does not match"}"#;
    let server = Server::start().on("PATCH /policies/branch-restriction", 400, conflict).on(
        "DELETE /policies",
        404,
        NONE,
    );
    let program = Program::for_server(&server);
    let apply = [
        "policy",
        "apply",
        "branch-restriction",
        "--service",
        "svc",
        "-e",
        "prod",
        "--branch-regex",
        "^master$",
    ];
    assert_snapshot!(program.run(&apply), @"
    exit 1
    -- stderr
    error: the policy is in conflict with others: policy 'auto-release-dev-prod' releases branch 'dev', which does not match (reference: [id])
    ");
    assert_snapshot!(program.run(&["policy", "delete", "--service", "svc", "a"]), @"
    exit 1
    -- stderr
    error: service 'svc' has no policies (reference: [id])
    ");
}

#[test]
fn what_is_missing_is_wrong_usage() {
    for arguments in [
        &["policy"][..],
        &["policy", "delete", "--service", "svc"],
        &["policy", "apply", "auto-release", "--service", "svc", "-b", "master"],
        &["policy", "apply", "auto-release", "--service", "svc", "-e", "", "-b", "master"],
        &["policy", "apply", "branch-restriction", "--service", "svc", "-e", "prod"],
    ] {
        let said = Program::new().run(arguments);
        assert!(said.starts_with("exit 2\n"), "{arguments:?}: {said}");
    }
}
