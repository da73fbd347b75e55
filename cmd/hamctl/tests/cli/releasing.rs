//! release, promote and rollback.

use insta::assert_snapshot;

use crate::{artifacts, program::Program, releases, server::Server};

const ACCEPTED: &str = r#"{"service":"svc","releaseId":"00000000-0000-0000-0000-000000000001","toEnvironment":"dev","tag":"master-1-2"}"#;
const UP_TO_DATE: &str = r#"{"status":"Environment 'prod' is already up-to-date"}"#;
const FORBIDDEN: &str = r#"{"status":400,"message":"branch master may not be released to dev"}"#;

fn latest(branch: &str, artifact: &str) -> Server {
    Server::start().on(
        &format!("GET /describe/latest-artifact/svc?branch={branch}"),
        200,
        &artifacts(&[artifact]),
    )
}

/// The bodies of all releases that were asked for.
fn bodies(server: &Server) -> Vec<String> {
    let requests = server.requests();
    requests.iter().filter_map(|line| line.strip_prefix("POST /release ")).map(str::to_owned).collect()
}

#[test]
fn a_branch_is_released_to_several_environments() {
    let server = latest("master", "master-1-2").on("POST /release", 200, ACCEPTED).on(
        "POST /release",
        200,
        UP_TO_DATE,
    );
    let program = Program::for_server(&server).with("HAMCTL_AUTH_TOKEN", "hunter2");
    assert_snapshot!(program.run(&["release", "--service", "svc", "--branch", "master", "--env", "dev,prod,dev"]), @"
    exit 0
    Release of service svc using branch master
    [✓] Release of master-1-2 to dev initialized
    [✓] Environment 'prod' is already up-to-date
    ");
    assert_eq!(
        bodies(&server),
        [
            r#"{"service":"svc","environment":"dev","artifactId":"master-1-2","committerName":"Jane Doe","committerEmail":"jane@example.com","intent":{"type":"ReleaseBranch","releaseBranch":{"branch":"master"},"promote":{},"rollback":{}}}"#,
            r#"{"service":"svc","environment":"prod","artifactId":"master-1-2","committerName":"Jane Doe","committerEmail":"jane@example.com","intent":{"type":"ReleaseBranch","releaseBranch":{"branch":"master"},"promote":{},"rollback":{}}}"#,
        ]
    );
    assert!(server.tokens().iter().all(|token| token == "Bearer hunter2"));
}

#[test]
fn a_refused_environment_does_not_stop_the_others() {
    let server = Server::start().on("POST /release", 400, FORBIDDEN).on("POST /release", 200, UP_TO_DATE);
    let program = Program::for_server(&server);
    let arguments = ["release", "--service", "svc", "--artifact", "master-1-2", "-e", "dev", "-e", "prod"];
    assert_snapshot!(program.run(&arguments), @"
    exit 1
    Release of service svc using artifact master-1-2
    [X] branch master may not be released to dev (reference: [id])
    [✓] Environment 'prod' is already up-to-date
    ");
    assert!(
        bodies(&server)[0].ends_with(
            r#""intent":{"type":"ReleaseArtifact","releaseBranch":{},"promote":{},"rollback":{}}}"#
        )
    );
}

#[test]
fn results_are_there_for_programs() {
    let server = Server::start().on("POST /release", 200, ACCEPTED).on("POST /release", 400, FORBIDDEN);
    let program = Program::for_server(&server);
    let arguments = ["release", "--service=svc", "--artifact=master-1-2", "--env=dev,prod", "--output=yaml"];
    assert_snapshot!(program.run(&arguments), @"
    exit 1
    - environment: dev
      artifactId: master-1-2
      releaseId: 00000000-0000-0000-0000-000000000001
    - environment: prod
      artifactId: master-1-2
      error: 'branch master may not be released to dev (reference: [id])'
    ");
}

#[test]
fn the_current_branch_comes_from_git() {
    let server = latest("feature%2Fx", "feature_x-1-2").on("POST /release", 200, ACCEPTED);
    let program = Program::for_server(&server);
    let arguments = ["release", "--service", "svc", "--current-branch", "--env", "dev"];
    assert_snapshot!(program.run(&arguments), @"
    exit 1
    -- stderr
    error: the current branch is not known: fatal: not a git repository (or any of the parent directories): .git
    hint: name it with --branch
    ");
    program.command("git").args(["init", "-q", "-b", "feature/x"]).assert().success();
    assert_snapshot!(program.run(&arguments), @"
    exit 0
    Release of service svc using branch feature/x
    [✓] Release of feature_x-1-2 to dev initialized
    ");
}

#[test]
fn the_committer_comes_from_git_unless_the_environment_names_one() {
    let server = Server::start().on("POST /release", 200, ACCEPTED);
    let program =
        Program::for_server(&server).with("HAMCTL_USER_NAME", "").with("HAMCTL_USER_EMAIL", "ci@example.com");
    std::fs::write(
        program.directory().join(".gitconfig"),
        "[user]\n\tname = Git Name\n\temail = git@example.com\n",
    )
    .unwrap();
    program.run(&["release", "--service", "svc", "--artifact", "a-1", "--env", "dev"]);
    assert!(bodies(&server)[0].contains(r#""committerName":"Git Name","committerEmail":"ci@example.com""#));
}

#[test]
fn the_first_environment_gets_the_newest_artifact_of_the_default_branch() {
    let server = latest("main", "main-1-2")
        .on(
            "GET /describe/latest-artifact/svc?branch=master",
            400,
            r#"{"status":400,"message":"no artifact of master"}"#,
        )
        .on("POST /release", 200, ACCEPTED);
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["promote", "--service", "svc", "--env", "dev"]), @"
    exit 0
    Promotion of service svc from branch main to dev
    [✓] Release of main-1-2 to dev initialized
    ");
    assert!(bodies(&server)[0].contains(r#""releaseBranch":{"branch":"main"}"#));
}

#[test]
fn each_other_environment_gets_what_runs_before_it() {
    let server = Server::start()
        .on("GET /describe/release/svc/dev?count=1&namespace=team", 200, &releases("dev", &["master-7-2"]))
        .on("POST /release", 200, ACCEPTED);
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["promote", "--service", "svc", "-e", "prod", "-n", "team"]), @"
    exit 0
    Promotion of service svc from dev to prod
    [✓] Release of master-7-2 to prod initialized
    ");
    assert_eq!(
        bodies(&server),
        [
            r#"{"service":"svc","environment":"prod","artifactId":"master-7-2","committerName":"Jane Doe","committerEmail":"jane@example.com","intent":{"type":"Promote","releaseBranch":{},"promote":{"fromEnvironment":"dev"},"rollback":{}}}"#
        ]
    );
}

#[test]
fn the_chain_of_environments_is_configurable() {
    let server = Server::start()
        .on("GET /describe/release/svc/staging?count=1", 200, &releases("staging", &["main-7-2"]))
        .on("POST /release", 200, ACCEPTED);
    let program = Program::for_server(&server).with("HAMCTL_PROMOTION_CHAIN", "main,dev,staging,prod");
    program.run(&["promote", "--service", "svc", "--env", "prod"]);
    program.run(&["promote", "--service", "svc", "--env", "other", "--from-env", "staging"]);
    assert_eq!(bodies(&server).len(), 2);
    assert_snapshot!(program.run(&["promote", "--service", "svc", "--env", "other"]), @"
    exit 2
    -- stderr
    error: it is not known from where to promote to 'other'
    hint: say it with --from-env, or with --promotion-chain, whose environments are now dev, staging, prod
    ");
    assert_snapshot!(program.run(&["promote", "--service", "svc", "--env", "dev", "--from-env", "dev"]), @"
    exit 2
    -- stderr
    error: 'dev' cannot be promoted to itself
    ");
    assert_snapshot!(program.run(&["promote", "--service", "svc", "--env", "dev", "--promotion-chain", "dev"]), @"
    exit 2
    -- stderr
    error: invalid value 'dev' for '--promotion-chain <CHAIN>': must name a branch and an environment

    For more information, try '--help'.
    ");
}

#[test]
fn without_a_terminal_a_rollback_goes_to_the_artifact_before() {
    let history = releases("prod", &["master-3-1", "master-3-1", "master-2-1", "master-1-1"]);
    let server = Server::start().on("GET /describe/release/svc/prod?count=10", 200, &history).on(
        "POST /release",
        200,
        ACCEPTED,
    );
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["rollback", "--service", "svc", "--env", "prod"]), @"
    exit 0
    Rollback of service svc in prod from master-3-1 to master-2-1
    [✓] Release of master-2-1 to prod initialized
    ");
    program.run(&["rollback", "--service", "svc", "--env", "prod", "--artifact", "master-1-1"]);
    let bodies = bodies(&server);
    assert!(bodies[0].contains(r#""artifactId":"master-2-1""#));
    assert!(bodies[1].contains(r#""artifactId":"master-1-1""#));
    assert!(bodies.iter().all(|body| body.contains(
        r#""intent":{"type":"Rollback","releaseBranch":{},"promote":{},"rollback":{"previousArtifactId":"master-3-1"}}"#
    )));
}

#[test]
fn a_rollback_needs_another_artifact() {
    let server = Server::start()
        .on("GET /describe/release/svc/prod?count=10", 200, &releases("prod", &["master-3-1", "master-3-1"]))
        .on("GET /describe/release/svc/dev?count=21", 200, &releases("dev", &[]));
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["rollback", "--service", "svc", "--env", "prod"]), @"
    exit 1
    -- stderr
    error: there is nothing to go back to: service svc had no other artifact in prod lately (releases looked at: 2)
    hint: name an artifact with --artifact, or look further back with --length
    ");
    assert_snapshot!(program.run(&["rollback", "--service", "svc", "--env", "dev", "--length", "20"]), @"
    exit 1
    -- stderr
    error: nothing of service svc runs in dev
    ");
    assert!(bodies(&server).is_empty());
}
