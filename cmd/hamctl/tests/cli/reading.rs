//! status and describe.

use insta::assert_snapshot;

use crate::{artifacts, program::Program, releases, server::Server};

const STATUS: &str = r#"{"defaultNamespaces":true,"environments":[
    {"name":"dev","tag":"master-1234-5678","committer":"John Roe","author":"Jane Doe","message":"Useful bits\n\nmore","date":1624437742000,
     "buildUrl":"https://ci.example.com/1","highVulnerabilities":1},
    {"name":"prod","tag":"master-5678-1234","author":"Jane Doe","message":"More useful bits","date":1624437742000},
    {"name":"test"}]}"#;

fn status_server() -> Server {
    Server::start().on("GET /status?service=svc", 200, STATUS)
}

#[test]
fn status_shows_what_runs_where() {
    let program = Program::for_server(&status_server());
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 0
    Status for service svc

    dev:  2021-06-23 08:42:22 master-1234-5678 by Jane Doe: Useful bits
    prod: 2021-06-23 08:42:22 master-5678-1234 by Jane Doe: More useful bits
    test: nothing
    ");
}

const ROLLOUTS: &str = r#"{"environments":[
    {"name":"dev","tag":"master-2","author":"Jane Doe","message":"Useful bits","date":1624437742000,
     "rollout":{"state":"healthy","since":"2021-06-23T08:45:00Z","available":3,"desired":3},"workloads":[
      {"kind":"Deployment","namespace":"dev","name":"svc","truth":"drifted","difference":"it has 3 replicas instead of 2","artifactId":"master-2","available":3,"desired":3,"phase":"healthy"},
      {"kind":"Deployment","namespace":"dev","name":"worker","truth":"missing","difference":"the cluster does not have it","available":0,"desired":1},
      {"kind":"Job","namespace":"dev","name":"fine","truth":"inSync","available":1,"desired":1}]},
    {"name":"prod","tag":"master-1","author":"Jane Doe","message":"Older bits","date":1624437742000,"lastHeard":"2021-06-23T09:00:00Z",
     "rollout":{"state":"failed","since":"2021-06-23T08:45:00Z","available":1,"desired":3,"error":"svc: CrashLoopBackOff: panic\u001b[2J\nmore"}},
    {"name":"qa","tag":"master-1","rollout":{"state":"released","since":"2021-06-23T08:45:00Z","available":0,"desired":0}},
    {"name":"test","tag":"master-1"}]}"#;

#[test]
fn status_shows_what_a_daemon_tells() {
    let server = Server::start().on("GET /api/v1/status?service=svc", 200, ROLLOUTS);
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 0
    Status for service svc

    dev:  2021-06-23 08:42:22 master-2 by Jane Doe: Useful bits
          healthy 3/3 since 2021-06-23 08:45:00
          drifted: Deployment svc: it has 3 replicas instead of 2
          missing: Deployment worker: the cluster does not have it
    prod: 2021-06-23 08:42:22 master-1 by Jane Doe: Older bits
          failed 1/3 since 2021-06-23 08:45:00: svc: CrashLoopBackOff: panic�[2J … (its daemon was last heard of 2021-06-23 09:00:00)
    qa:   master-1
          released since 2021-06-23 08:45:00
    test: master-1
    ");
    let template = "{{ range .Environments }}{{ .Name }} {{ .Rollout.State }} {{ .Rollout.Available }}{{ range .Workloads }} {{ .Name }}={{ .Truth }}{{ end }};{{ end }}";
    assert_snapshot!(program.run(&["status", "--service=svc", "--template", template]), @"
    exit 0
    dev healthy 3 svc=drifted worker=missing fine=in sync;prod failed 1;qa released 0;test  0;
    ");
    let json = program.run(&["status", "--service=svc", "--output", "json"]);
    for part in [r#""state": "healthy""#, r#""truth": "drifted""#, r#""lastHeard": "2021-06-23T09:00:00Z""#] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
}

#[test]
fn status_is_there_for_programs() {
    let program = Program::for_server(&status_server());
    assert_snapshot!(program.run(&["status", "--service=svc", "--output", "json"]), @r#"
    exit 0
    {
      "defaultNamespaces": true,
      "environments": [
        {
          "name": "dev",
          "tag": "master-1234-5678",
          "committer": "John Roe",
          "author": "Jane Doe",
          "message": "Useful bits\n\nmore",
          "date": 1624437742000,
          "buildUrl": "https://ci.example.com/1",
          "highVulnerabilities": 1
        },
        {
          "name": "prod",
          "tag": "master-5678-1234",
          "author": "Jane Doe",
          "message": "More useful bits",
          "date": 1624437742000
        },
        {
          "name": "test"
        }
      ]
    }
    "#);
    assert_snapshot!(program.run(&["status", "--service=svc", "--output", "yaml"]), @"
    exit 0
    defaultNamespaces: true
    environments:
    - name: dev
      tag: master-1234-5678
      committer: John Roe
      author: Jane Doe
      message: |-
        Useful bits

        more
      date: 1624437742000
      buildUrl: https://ci.example.com/1
      highVulnerabilities: 1
    - name: prod
      tag: master-5678-1234
      author: Jane Doe
      message: More useful bits
      date: 1624437742000
    - name: test
    ");
    let template = "{{ range .Environments }}{{ rightPad .Name (maxLength $.Environments \"name\") }} {{ .Tag }}\n{{ end }}";
    assert_snapshot!(program.run(&["status", "--service=svc", "--template", template]), @"
    exit 0
    dev  master-1234-5678
    prod master-5678-1234
    test
    ");
}

#[test]
fn status_of_nothing_asks_about_the_namespace() {
    let server = Server::start().on("GET /status?service=svc", 200, r#"{"defaultNamespaces":true}"#).on(
        "GET /status?service=svc&namespace=team",
        200,
        "{}",
    );
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 0
    Status for service svc

    Nothing of this service runs anywhere.
    -- stderr
    hint: is it in another namespace than the environment's? Name it with --namespace
    ");
    assert_snapshot!(program.run(&["status", "--service", "svc", "-n", "team"]), @"
    exit 0
    Status for service svc

    Nothing of this service runs anywhere.
    ");
}

#[test]
fn service_and_namespace_come_from_shuttle_yaml_unless_they_are_given() {
    let server = Server::start();
    let program = Program::for_server(&server);
    std::fs::write(
        program.directory().join("shuttle.yaml"),
        "vars:\n  service: svc\n  k8s:\n    namespace: team\n",
    )
    .unwrap();
    program.run(&["status"]);
    program.run(&["status", "--namespace", "other", "--service", "svc2"]);
    program.run(&["describe", "release", "--env", "dev"]);
    assert_eq!(
        server.requests(),
        [
            // The first question is one that servers of the field do not know.
            "GET /api/v1/status?service=svc&namespace=team",
            "GET /status?service=svc&namespace=team",
            "GET /api/v1/status?service=svc2&namespace=other",
            "GET /status?service=svc2&namespace=other",
            "GET /describe/release/svc/dev?count=1&namespace=team"
        ]
    );
}

#[test]
fn describe_release_shows_the_last_releases() {
    let server = Server::start().on(
        "GET /describe/release/svc/dev?count=2",
        200,
        &releases("dev", &["master-2-1", "master-1-1"]),
    );
    let program = Program::for_server(&server);
    let arguments = ["describe", "releases", "--service", "svc", "-e", "dev", "-c", "2"];
    assert_snapshot!(program.run(&arguments), @"
    exit 0
    Service:     svc
    Environment: dev

    #0 master-2-1 (current)
       Namespace: team
       Built:     2021-06-23 08:42:22
       Author:    Jane Doe <jane@example.com>
       Released:  2021-06-24 08:42:22 by John Roe <john@example.com>
       Intent:    promotion from dev
       Commit:    https://git.example.com/1
       Message:   Useful bits

    #1 master-1-1
       Namespace: team
       Built:     2021-06-23 08:42:22
       Author:    Jane Doe <jane@example.com>
       Released:  2021-06-24 08:42:22 by John Roe <john@example.com>
       Intent:    promotion from dev
       Commit:    https://git.example.com/1
       Message:   Useful bits
    ");
    let template = "{{ range .Releases }}{{ .Artifact.ID }} {{ .ReleasedAt.Format dateFormat }} {{ .Artifact.CI.End.Format \"2006\" }} {{ .Intent | printIntent }}\n{{ end }}";
    assert_snapshot!(program.run(&[&arguments[..], &["--template", template]].concat()), @"
    exit 0
    master-2-1 2021-06-24 08:42:22 2021 promotion from dev
    master-1-1 2021-06-24 08:42:22 2021 promotion from dev
    ");
}

#[test]
fn describe_artifact_is_a_table() {
    let server = Server::start().on(
        "GET /describe/artifact/svc?count=5",
        200,
        &artifacts(&["master-2-1", "feature_long-1-1"]),
    );
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["describe", "artifact", "--service", "svc"]), @"
    exit 0
    Newest artifacts of service svc

    Built                Artifact          Branch        Message
    2021-06-23 08:42:22  master-2-1        master        Useful bits
    2021-06-23 08:42:22  feature_long-1-1  feature_long  Useful bits
    ");
}
