//! The main job with the programs as people and CI call them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use release_testing::origin::Origin;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Artifact, Audience, Content, History, Order, Run, Server, Setup, program, run};

const KUSTOMIZATION: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n";

/// A directory in which somebody types commands; also the root of a CI job.
pub(crate) struct Desk {
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Desk {
    pub(crate) fn at(server: &Server) -> Self {
        let environment = vec![
            ("HAMCTL_URL", server.url("")),
            ("HAMCTL_AUTH_TOKEN", server.token(Audience::Hamctl)),
            ("HAMCTL_USER_NAME", "Jane Doe".to_owned()),
            ("HAMCTL_USER_EMAIL", "jane@example.com".to_owned()),
            ("ARTIFACT_URL", server.url("")),
            ("ARTIFACT_AUTH_TOKEN", server.token(Audience::Artifact)),
        ];
        Self { directory: tempfile::tempdir().expect("a temporary directory"), environment }
    }

    /// Commands have this in their environment, too.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Words are separated by spaces; a text with spaces goes into `more`.
    async fn type_with(&self, line: &str, more: &[&str]) -> Run {
        let mut words = line.split_whitespace();
        let mut command = Command::new(program(words.next().expect("a program")));
        command.args(words).args(more).current_dir(self.path()).env("HOME", self.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(command).await
    }

    pub(crate) async fn types(&self, line: &str) -> Run {
        self.type_with(line, &[]).await
    }

    /// `environment=artifact` of all environments.
    pub(crate) async fn running(&self, service: &str) -> String {
        let template = "{{ range .Environments }}{{ .Name }}={{ .Tag }} {{ end }}";
        let line = format!("hamctl status --service {service} --template");
        self.type_with(&line, &[template]).await.ok().trim().to_owned()
    }

    /// A CI job that builds and pushes one artifact of `payments`.
    pub(crate) async fn build(&self, id: &str) {
        let _ = fs::remove_file(self.path().join("artifact.json"));
        for environment in ["dev", "prod"] {
            let directory = self.path().join(environment);
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join("deployment.yaml"), format!("image: {id}\n")).expect("a file");
            let script = directory.join("migrate.sh");
            fs::write(&script, "#!/bin/sh\n").expect("a file");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let init = format!(
            "artifact init --artifact-id {id} --service payments --git-branch master --git-sha 0017d995e3 \
             --git-author-name Ada --git-author-email ada@example.com \
             --git-committer-name Bob --git-committer-email bob@example.com --git-message"
        );
        let started = self.type_with(&init, &["Pay faster"]).await.ok();
        assert_eq!(started, format!("Artifact {id} of service payments started\n"));
        for (line, said) in [
            (format!("artifact add build --image payments --tag {id}"), "Stage 'Build' added"),
            ("artifact add test --passed 42 --failed 0 --skipped 1".to_owned(), "Stage 'Test' added"),
            (format!("artifact add push --image payments --tag {id}"), "Stage 'Push' added"),
            ("artifact end".to_owned(), "has ended"),
            ("artifact push".to_owned(), "of service payments pushed"),
            ("artifact successful".to_owned(), "The build was successful"),
        ] {
            let printed = self.types(&line).await.ok();
            assert!(printed.contains(said), "{line}: {printed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_build_to_production_and_back() {
    // The very first start of the first server: the repository has no commit yet.
    let origin = Origin::empty();
    let server = Server::start(&origin).await;
    let desk = Desk::at(&server);
    let (first, second) = ("master-0017d995e3-67e9d69164", "master-1117d995e3-67e9d69164");

    desk.build(first).await;
    let said = desk.types("hamctl release --service payments --branch master --env dev --wait").await.ok();
    let lines: Vec<&str> = said.lines().collect();
    let commit = origin.head();
    let done = format!("[✓] Release of {first} to dev is done (commit {commit})");
    assert_eq!(
        lines,
        [
            "Release of service payments using branch master",
            &format!("[✓] Release of {first} to dev initialized"),
            &done,
        ]
    );
    assert_eq!(desk.running("payments").await, format!("dev={first}"));

    let said = desk.types("hamctl promote --service payments --env prod --wait").await.ok();
    assert!(said.contains(&format!("[✓] Release of {first} to prod initialized")), "{said}");
    assert_eq!(desk.running("payments").await, format!("dev={first} prod={first}"));

    desk.build(second).await;
    let line = format!("hamctl release --service payments --artifact {second} --env dev,prod --wait");
    desk.types(&line).await.ok();
    let said = desk.types(&line).await.ok();
    assert!(said.contains("[✓] Environment 'prod' is already up-to-date"), "{said}");

    let said = desk.types("hamctl rollback --service payments --env prod --wait").await.ok();
    let title = format!("Rollback of service payments in prod from {second} to {first}");
    assert_eq!(said.lines().next(), Some(title.as_str()));
    assert_eq!(desk.running("payments").await, format!("dev={second} prod={first}"));
    let status = desk.types("hamctl status --service payments").await.ok();
    assert!(status.starts_with("Status for service payments\n\ndev:  "), "{status}");
    assert!(status.contains(&format!("{second} by Ada: Pay faster\nprod: ")), "{status}");

    let releases =
        desk.types("hamctl describe release --service payments --env prod --count 9 --output json").await;
    let releases: Value = serde_json::from_str(&releases.ok()).expect("JSON");
    let told: Vec<_> = releases["releases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|release| (release["artifact"]["id"].as_str(), release["intent"]["type"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(first), Some("Rollback")),
            (Some(second), Some("ReleaseArtifact")),
            (Some(first), Some("Promote")),
        ]
    );
    let artifacts = desk.types("hamctl describe artifact --service payments").await.ok();
    assert!(artifacts.find(second) < artifacts.find(first), "newest first: {artifacts}");

    assert_eq!(
        origin.titles(),
        [
            format!("[prod/payments] rollback {first} by jane@example.com"),
            format!("[prod/payments] release {second} by jane@example.com"),
            format!("[dev/payments] release {second} by jane@example.com"),
            format!("[prod/payments] release {first} by jane@example.com"),
            format!("[dev/payments] release {first} by jane@example.com"),
        ]
    );
    assert_eq!(
        origin.files("prod"),
        ["artifact.json", "deployment.yaml", "migrate.sh"].map(|name| {
            let mode = if name == "migrate.sh" { "100755" } else { "100644" };
            format!("{mode} prod/releases/prod/payments/{name}")
        })
    );
    origin.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_say_what_is_wrong_and_end_with_1_or_2() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    server.push_new("payments", "master-1-2").await;
    server.accepted(&Order::new("payments", "dev", "master-1-2")).await;
    server.drained().await;
    let desk = Desk::at(&server);
    for (line, code, said) in [
        ("hamctl status --service paymnets", 1, "did you mean 'payments'?"),
        ("hamctl status --service ../x", 1, "service must not contain '/'"),
        ("hamctl release --service paymnets --branch master --env dev", 1, "did you mean 'payments'?"),
        (
            "hamctl release --service payments --artifact master-1-3 --env dev",
            1,
            "did you mean 'master-1-2'?",
        ),
        ("hamctl release --service payments --branch nope --env dev", 1, "no artifact of branch 'nope'"),
        ("hamctl release --service payments --branch master --env qa", 1, "there is 'dev' or 'prod'"),
        ("hamctl rollback --service payments --env dev", 1, "nothing to go back to"),
        ("hamctl promote --service payments --env prod --from-env nope", 1, "no environment 'nope'"),
        ("hamctl release --service payments --env dev", 2, "--branch"),
        ("hamctl status --service payments --http-timeout=-1s", 2, "--http-timeout"),
        ("artifact push --root /no/such/directory", 1, "artifact.json"),
        ("artifact init --artifact-id ../x", 2, "must not contain '/'"),
        ("server start", 2, "--config-repo"),
        ("server start --config-repo x --http-port 70000", 2, "--http-port"),
        (
            "server start --config-repo file:///no/such/repository --http-port 0 --data-dir data",
            1,
            "cannot be cloned",
        ),
        ("server events retry not-an-id", 2, "not-an-id"),
    ] {
        let run = desk.types(line).await;
        assert_eq!(run.code, Some(code), "{line}: {run:#?}");
        assert!((run.stdout.clone() + &run.stderr).contains(said), "{line}: {run:#?}");
    }
    // One environment that fails does not keep the others from being tried.
    let run =
        desk.types("hamctl release --service payments --artifact master-1-2 --env nope,prod --wait").await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("[X] ") && run.stdout.contains("(reference: "), "{run:#?}");
    assert!(run.stdout.contains("[✓] Release of master-1-2 to prod is done"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_retries_and_drops_what_failed_for_good() {
    let origin = Origin::new();
    retry_and_drop(&origin, &Server::start(&origin).await).await;
}

/// What an operator does with dead events, whatever the broker.
pub(crate) async fn retry_and_drop(origin: &Origin, server: &Server) {
    let kustomization = |path| Content { path, executable: false, bytes: KUSTOMIZATION.as_bytes() };
    let files = [kustomization("dev/one.yaml"), kustomization("dev/two.yaml")];
    server.push(&Artifact::of_files("svc", "master-1-2", &files)).await;
    let desk = Desk::at(server);
    let events = async |what: &str| {
        let base = format!("--http-base-url {} --data-dir {}", server.url(""), server.data_dir().display());
        desk.types(&format!("server events {what} {base}")).await
    };

    let run = desk.types("hamctl release --service svc --artifact master-1-2 --env dev --wait").await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("more than one Flux Kustomization (one.yaml, two.yaml)"), "{run:#?}");
    let listed: Value = serde_json::from_str(&events("list --output json").await.ok()).expect("JSON");
    let id = listed["dead"][0]["id"].as_str().expect("one dead event").to_owned();
    assert_eq!(
        (&listed["pending"], listed["dead"].as_array().map(Vec::len)),
        (&Value::Array(Vec::new()), Some(1))
    );
    assert!(events("list").await.ok().contains("dev/svc master-1-2"));

    // The cause goes away: the artifact is built again with one of the files.
    server.push(&Artifact::of_files("svc", "master-1-2", &files[..1])).await;
    assert_eq!(events(&format!("retry {id}")).await.ok(), format!("[✓] Event {id} is in the queue again\n"));
    server.drained().await;
    History::of(origin).commit_of(id.parse().expect("a UUID"));
    assert_eq!(origin.file("clusters/dev/dev/svc.yaml").expect("it is there"), KUSTOMIZATION.as_bytes());

    server.push(&Artifact::of_files("svc", "master-1-3", &files)).await;
    let release = server.accepted(&Order::new("svc", "dev", "master-1-3")).await;
    assert_eq!(
        desk.types("hamctl release --service svc --artifact master-1-3 --env dev --wait").await.code,
        Some(1)
    );
    let run = events(&format!("drop {release}")).await;
    assert_eq!(run.ok(), format!("[✓] Event {release} is forgotten\n"));
    let again = events(&format!("drop {release}")).await;
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(again.stdout.contains("no dead event"), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_release() {
    let origin = Origin::new();
    let mut server = Server::start(&origin).await;
    server.push_new("svc", "master-1-2").await;
    server.push_new("svc", "master-1-3").await;
    let order = Order::new("svc", "dev", "master-1-2");
    let release = server.accepted(&order).await;
    let later = server.accepted(&Order::new("svc", "dev", "master-1-3")).await;
    assert_eq!(server.accepted(&order).await, release);
    server.drained().await;
    // Also when it is long done, something else runs, and the process is another one.
    assert_eq!(server.accepted(&order).await, release);
    server.kill();
    server.restart().await;
    assert_eq!(server.accepted(&order).await, release);
    server.drained().await;
    let history = History::of(&origin);
    history.commit_of(release);
    history.commit_of(later);
    assert_eq!(history.releases().len(), 2);
    assert_eq!(history.current("svc", "dev").as_deref(), Some("master-1-3"));

    // For another environment it is another release.
    let prod = Order { environment: "prod".to_owned(), ..order };
    assert_ne!(server.accepted(&prod).await, release);
    server.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_queue_in_memory_releases_too() {
    let origin = Origin::new();
    let flags = ["--broker-type=memory"];
    let server = Server::start_with(&origin, &Setup { flags: &flags, ..Setup::default() }).await;
    let artifact = server.push_new("svc", "master-1-2").await;
    let release = server.accepted(&Order::new("svc", "dev", artifact.id())).await;
    server.drained().await;
    History::of(&origin).commit_of(release);
    assert!(!server.data_dir().join("events.redb").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_refuse_releases_and_release_by_themselves() {
    let origin = Origin::new();
    let setup = Setup { flags: &["--policy-branch-restrictions", "live=^v[0-9]{1,3}$"], ..Setup::default() };
    let server = Server::start_with(&origin, &setup).await;
    let desk = Desk::at(&server);

    let said = desk.types("hamctl policy apply auto-release --service payments -b master -e dev").await.ok();
    assert_eq!(said, "[✓] Policy auto-release-master-dev applied to service payments\n");
    let restrict = "hamctl policy apply branch-restriction --service payments -e prod --branch-regex";
    desk.types(&format!("{restrict} ^release/.+$")).await.ok();
    let conflict = desk.types("hamctl policy apply auto-release --service payments -b master -e prod").await;
    assert!(conflict.code == Some(1) && conflict.stderr.contains("branch-restriction-prod"), "{conflict:#?}");
    let listed = desk.types("hamctl policy list --service payments").await.ok();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        ["^v[0-9]{1,3}$", "live", "(all", "services)"].as_slice(),
        &["^release/.+$", "prod", "branch-restriction-prod"],
    ] {
        assert!(rows.iter().any(|found| found == row), "{listed}");
    }

    let artifact = "master-0017d995e3-67e9d69164";
    desk.build(artifact).await;
    server.drained().await;
    assert_eq!(desk.running("payments").await, format!("dev={artifact}"));
    assert_eq!(origin.titles()[0], format!("[dev/payments] auto release {artifact} by ada@example.com"));

    let refused = desk.types("hamctl promote --service payments --env prod --wait").await;
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stdout.contains("[X] Branch 'master' may not go to 'prod'"), "{refused:#?}");
    let delete = "hamctl policy delete --service payments branch-restriction-prod";
    assert_eq!(desk.types(delete).await.ok(), "[✓] 1 policy of service payments deleted\n");
    desk.types("hamctl promote --service payments --env prod --wait").await.ok();
    assert_eq!(desk.running("payments").await, format!("dev={artifact} prod={artifact}"));
    let again = desk.types(delete).await;
    assert!(again.code == Some(1) && again.stderr.contains("it has 'auto-release-master-dev'"), "{again:#?}");
    origin.assert_clean();
}
