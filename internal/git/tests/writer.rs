//! The writer against a real bare repository.

use std::{collections::HashMap, path::Path, time::Duration};

use bytes::Bytes;
use release_core::Person;
use release_git::{
    Change, ConfigRepository, Credentials, Edit, File, Operation, Options, Outcome, Plan, PlanError,
    RemoteOptions, WriteError, Writer,
};
use release_testing::origin::Origin;
use tokio::task::JoinSet;
use uuid::Uuid;

struct Fixture {
    origin: Origin,
    repository: ConfigRepository,
    writer: Writer,
}

fn options(origin: &Origin) -> Options {
    Options {
        directory: origin.scratch().join("copy.git"),
        remote: RemoteOptions {
            url: origin.url(),
            credentials: Credentials::default(),
            timeout: Duration::from_mins(1),
        },
        branch: None,
        committer: Person::new("release-manager", "bot@example.com"),
        signing: None,
        // Polling is asked for in the tests that are about it.
        poll_interval: Duration::from_hours(1),
        max_pushes_per_minute: 0,
        on_push: std::sync::Arc::new(|_| ()),
    }
}

fn open(origin: Origin) -> Fixture {
    let (repository, writer) = ConfigRepository::open(&options(&origin)).unwrap();
    Fixture { origin, repository, writer }
}

/// Ends the writer and opens the repository again, as a restarted server does.
fn restart(fixture: Fixture) -> Fixture {
    fixture.writer.close();
    open(fixture.origin)
}

fn file(path: &str, contents: &str) -> File {
    File { path: path.into(), contents: Bytes::from(contents.to_owned()), executable: false }
}

fn directory(service: &str) -> String {
    format!("dev/releases/dev/{service}")
}

/// Replaces a service's directory, as a release does.
fn release(service: &str, artifact: &str, files: Vec<File>) -> Change {
    let (service, artifact) = (service.to_owned(), artifact.to_owned());
    Change {
        release_id: Some(Uuid::new_v4()),
        plan: Box::new(move |_| {
            Ok(Plan::Commit(Edit {
                message: format!("[dev/{service}] release {artifact} by jane@example.com\n"),
                author: Person::new("Jane Doe", "jane@example.com"),
                operations: vec![Operation::ReplaceDirectory {
                    path: directory(&service),
                    files: files.clone(),
                }],
            }))
        }),
    }
}

fn simple_release(service: &str, artifact: &str) -> Change {
    release(service, artifact, vec![file("artifact.json", artifact), file("40-deployment.yaml", service)])
}

fn commit_id(outcome: Result<Outcome, WriteError>) -> String {
    match outcome {
        Ok(Outcome::Committed(id)) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_is_one_commit_on_the_remote_and_in_the_snapshot() {
    let fixture = open(Origin::new());
    let files = vec![
        file("artifact.json", "{}"),
        file("nested/deep/a.yaml", "a"),
        File { path: "run.sh".into(), contents: "#!/bin/sh".into(), executable: true },
    ];
    let commit = commit_id(fixture.writer.write(release("api", "master-1", files)).await);

    assert_eq!(fixture.origin.head(), commit);
    assert_eq!(
        fixture.origin.files("dev"),
        [
            "100644 dev/releases/dev/api/artifact.json",
            "100644 dev/releases/dev/api/nested/deep/a.yaml",
            "100755 dev/releases/dev/api/run.sh",
        ]
    );
    let people = fixture.origin.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>"]);
    assert_eq!(people, "Jane Doe <jane@example.com> release-manager <bot@example.com>");
    assert_eq!(fixture.origin.titles(), ["[dev/api] release master-1 by jane@example.com", "first commit"]);
    fixture.origin.assert_clean();

    let snapshot = fixture.repository.snapshot();
    assert_eq!(snapshot.tip().unwrap().to_string(), commit);
    assert_eq!(snapshot.tree().file("dev/releases/dev/api/artifact.json").unwrap().unwrap(), b"{}");
    let releases: Vec<_> = snapshot.releases("DEV", "Api").map(Result::unwrap).collect();
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0].message.artifact_id, "master-1");
}

#[tokio::test]
async fn files_that_the_new_release_lacks_are_gone_and_nothing_else_changes() {
    let fixture = open(Origin::new());
    fixture.writer.write(release("api", "1", vec![file("a", "1"), file("b/c", "1")])).await.unwrap();
    fixture.writer.write(simple_release("web", "1")).await.unwrap();
    fixture.writer.write(release("api", "2", vec![file("a", "2")])).await.unwrap();
    assert_eq!(
        fixture.origin.files(""),
        [
            "100644 README.md",
            "100644 dev/releases/dev/api/a",
            "100644 dev/releases/dev/web/40-deployment.yaml",
            "100644 dev/releases/dev/web/artifact.json",
        ]
    );
}

#[tokio::test]
async fn put_and_remove_leave_no_empty_directory_and_can_empty_the_repository() {
    let fixture = open(Origin::new());
    let edit = |operations: Vec<Operation>| Change {
        release_id: None,
        plan: Box::new(move |_| {
            let author = Person::new("Jane", "jane@example.com");
            Ok(Plan::Commit(Edit { message: "edit\n".into(), author, operations: operations.clone() }))
        }),
    };
    let put =
        Operation::PutFile { path: "policies/api.json".into(), contents: "{}".into(), executable: false };
    let remove = |path: &str| Operation::Remove { path: path.into() };
    fixture.writer.write(edit(vec![put])).await.unwrap();
    assert_eq!(fixture.origin.files("policies"), ["100644 policies/api.json"]);
    // Below a file and below nothing there is nothing to remove.
    let nothing = fixture.writer.write(edit(vec![remove("README.md/x"), remove("no/such")])).await;
    assert_eq!(nothing.unwrap(), Outcome::Unchanged);
    fixture.writer.write(edit(vec![remove("policies/api.json"), remove("README.md")])).await.unwrap();
    assert_eq!(fixture.origin.files(""), [] as [&str; 0]);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn an_empty_remote_gets_its_first_commit() {
    let fixture = open(Origin::empty());
    assert!(fixture.repository.snapshot().tip().is_none());
    assert_eq!(fixture.repository.branch(), "main");
    fixture.writer.fetch().await.unwrap();
    assert_eq!(*fixture.repository.problem().borrow(), None);
    commit_id(fixture.writer.write(simple_release("api", "1")).await);
    assert_eq!(fixture.origin.titles().len(), 1);
    let fixture = restart(fixture);
    assert_eq!(fixture.repository.snapshot().releases("dev", "api").count(), 1);
}

#[tokio::test]
async fn a_change_that_finds_nothing_to_do_makes_no_commit() {
    let fixture = open(Origin::new());
    fixture.writer.write(simple_release("api", "1")).await.unwrap();
    let head = fixture.origin.head();
    assert_eq!(fixture.writer.write(simple_release("api", "1")).await.unwrap(), Outcome::Unchanged);
    assert_eq!(fixture.origin.head(), head);
}

#[tokio::test]
async fn that_nothing_is_to_be_done_is_said_of_what_is_on_the_remote_now() {
    let fixture = open(Origin::new());
    fixture.writer.write(simple_release("api", "1")).await.unwrap();
    let file = format!("{}/artifact.json", directory("api"));
    fixture.origin.commit("by others", &[(&file, "another artifact")]);
    let outcome = fixture.writer.write(simple_release("api", "1")).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert_ne!(fixture.origin.file(&file).unwrap(), b"another artifact");
}

#[tokio::test]
async fn the_same_release_is_committed_once_also_after_a_restart() {
    let fixture = open(Origin::new());
    let id = Uuid::new_v4();
    let with_id = |artifact| Change { release_id: Some(id), ..simple_release("api", artifact) };
    let first = commit_id(fixture.writer.write(with_id("1")).await);
    fixture.writer.write(simple_release("api", "2")).await.unwrap();
    let fixture = restart(fixture);
    // A queue that delivers again must not bring version 1 back.
    assert_eq!(commit_id(fixture.writer.write(with_id("1")).await), first);
    assert_eq!(fixture.origin.file("dev/releases/dev/api/artifact.json").unwrap(), b"2");
    assert_eq!(fixture.repository.snapshot().find_release(id).unwrap().unwrap().id.to_string(), first);
}

#[tokio::test]
async fn a_plan_that_refuses_is_told_why_and_the_others_are_written() {
    let fixture = open(Origin::new());
    let refused =
        Change { release_id: None, plan: Box::new(|_| Err(PlanError::Refused("not today".into()))) };
    let forbidden = release("api", "1", vec![file("../../../etc/passwd", "x")]);
    let (refused, forbidden, written) = tokio::join!(
        fixture.writer.write(refused),
        fixture.writer.write(forbidden),
        fixture.writer.write(simple_release("api", "1"))
    );
    assert_eq!(refused.unwrap_err().to_string(), "not today");
    assert!(matches!(forbidden, Err(WriteError::Refused(reason)) if reason.contains("../../../etc/passwd")));
    assert!(written.is_ok());
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn a_change_is_planned_again_on_what_others_pushed_meanwhile() {
    let fixture = open(Origin::new());
    fixture.origin.commit("by others", &[("dev/releases/dev/api/extra.yaml", "theirs"), ("other.txt", "x")]);
    let commit = commit_id(fixture.writer.write(simple_release("api", "1")).await);
    assert_eq!(fixture.origin.head(), commit);
    assert_eq!(fixture.origin.titles()[1], "by others");
    assert_eq!(fixture.origin.file("other.txt").unwrap(), b"x");
    assert_eq!(fixture.origin.file("dev/releases/dev/api/extra.yaml"), None);
}

#[tokio::test]
async fn a_batch_that_others_outrun_every_time_is_written_in_parts() {
    let fixture = open(Origin::new());
    // Somebody else is there first whenever a push takes long, which this one says of more than sixty commits.
    fixture.origin.set_hook(
        "pre-receive",
        "read old new ref
        [ $(git rev-list --count $old..$new) -le 60 ] && exit 0
        unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
        other=$(git -c user.name=o -c user.email=o@x commit-tree -p $old -m other $old^{tree})
        git update-ref $ref $other $old",
    );
    let mut tasks = JoinSet::new();
    for i in 0..200 {
        let writer = fixture.writer.clone();
        tasks.spawn(async move { writer.write(simple_release(&format!("svc-{i}"), "1")).await });
    }
    let written = tasks.join_all().await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let titles = fixture.origin.titles();
    let others = titles.iter().filter(|title| *title == "other").count();
    // Two hundred, one hundred; then fifty pass, and after that it is tried with more again.
    assert!((1..=9).contains(&others), "{others} times outrun");
    assert_eq!(titles.len(), 1 + 200 + others);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn one_declined_change_does_not_fail_its_batch() {
    let fixture = open(Origin::new());
    fixture.origin.set_hook(
        "pre-receive",
        "while read old new ref; do git log --format=%s $old..$new | grep -q bad && { echo 'no bad ones'; exit 1; }; done; exit 0",
    );
    let mut tasks = JoinSet::new();
    for i in 0..20 {
        let (writer, service) =
            (fixture.writer.clone(), if i == 7 { "bad".into() } else { format!("svc-{i}") });
        tasks.spawn(async move { (service.clone(), writer.write(simple_release(&service, "1")).await) });
    }
    for (service, result) in tasks.join_all().await {
        match result {
            Err(WriteError::Declined(reason)) => {
                assert_eq!(service, "bad");
                assert!(reason.contains("no bad ones"), "{reason}");
            }
            other => assert!(other.is_ok() && service != "bad", "{service}: {other:?}"),
        }
    }
    assert_eq!(fixture.origin.titles().len(), 20);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn a_remote_that_is_away_or_hangs_is_a_problem_until_it_is_back() {
    let origin = Origin::new();
    let mut options = options(&origin);
    options.remote.timeout = Duration::from_secs(2);
    let (repository, writer) = ConfigRepository::open(&options).unwrap();
    let mut problem = repository.problem();
    assert_eq!(*problem.borrow_and_update(), None);

    origin.go_away();
    assert!(matches!(writer.write(simple_release("api", "1")).await, Err(WriteError::Unavailable(_))));
    assert!(problem.wait_for(Option::is_some).await.unwrap().as_ref().unwrap().contains("cannot be fetched"));
    assert!(repository.snapshot().tree().file("README.md").unwrap().is_some(), "readers go on");
    origin.come_back();
    // Without anybody writing: the writer looks for the remote by itself.
    problem.wait_for(Option::is_none).await.unwrap();

    origin.set_hook("pre-receive", "sleep 600");
    let result = writer.write(simple_release("api", "1")).await;
    assert!(
        matches!(&result, Err(WriteError::Unavailable(reason)) if reason.contains("no answer")),
        "{result:?}"
    );
    assert!(problem.borrow().is_some());
    origin.remove_hook("pre-receive");
    writer.write(simple_release("api", "1")).await.unwrap();
    assert_eq!(*problem.borrow(), None);
    origin.assert_clean();
}

#[tokio::test]
async fn a_remote_that_declined_is_well_again_when_it_takes_anything() {
    let fixture = open(Origin::new());
    fixture.origin.set_hook("pre-receive", "echo frozen; exit 1");
    let declined = fixture.writer.write(simple_release("api", "1")).await;
    assert!(matches!(declined, Err(WriteError::Declined(_))));
    assert!(fixture.repository.problem().borrow().as_ref().unwrap().contains("frozen"));
    fixture.writer.fetch().await.unwrap();
    assert!(fixture.repository.problem().borrow().is_some(), "nothing shows that it takes pushes");
    fixture.origin.commit("by others", &[("x", "y")]);
    fixture.writer.fetch().await.unwrap();
    assert_eq!(*fixture.repository.problem().borrow(), None);
}

#[tokio::test]
async fn a_push_that_arrived_although_its_answer_was_lost_is_not_made_twice() {
    let origin = Origin::new();
    let mut options = options(&origin);
    options.remote.timeout = Duration::from_secs(2);
    let (_repository, writer) = ConfigRepository::open(&options).unwrap();
    // After the branch was moved the connection hangs.
    origin.set_hook("post-receive", "sleep 600");
    commit_id(writer.write(simple_release("api", "1")).await);
    assert_eq!(origin.titles().len(), 2);
}

#[tokio::test]
async fn a_rewritten_history_is_noticed_and_read_again() {
    let fixture = open(Origin::new());
    let first = commit_id(fixture.writer.write(simple_release("api", "1")).await);
    fixture.writer.write(simple_release("api", "2")).await.unwrap();
    fixture.origin.git(&["update-ref", "refs/heads/main", &first]);
    fixture.writer.fetch().await.unwrap();
    let artifacts = |fixture: &Fixture| -> Vec<String> {
        let snapshot = fixture.repository.snapshot();
        snapshot.releases("dev", "api").map(|release| release.unwrap().message.artifact_id).collect()
    };
    assert_eq!(artifacts(&fixture), ["1"]);
    // A push must not bring back what somebody took out, nor fail because of it.
    fixture.origin.git(&["update-ref", "refs/heads/main", &format!("{first}~1")]);
    fixture.writer.write(simple_release("web", "1")).await.unwrap();
    assert_eq!(artifacts(&fixture), [] as [&str; 0]);
    assert_eq!(fixture.origin.titles(), ["[dev/web] release 1 by jane@example.com", "first commit"]);
}

#[tokio::test]
async fn what_the_remote_has_forgotten_is_sent_again() {
    let fixture = open(Origin::new());
    let first = fixture.origin.head();
    let files = || vec![file("a.yaml", "one and the same"), file("b.yaml", "another")];
    fixture.writer.write(release("api", "1", files())).await.unwrap();
    fixture.origin.git(&["update-ref", "refs/heads/main", &first]);
    fixture.origin.git(&["-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now"]);
    fixture.writer.fetch().await.unwrap();
    let commit = commit_id(fixture.writer.write(release("api", "2", files())).await);
    assert_eq!(fixture.origin.head(), commit);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn a_restart_reads_only_what_is_new_and_a_damaged_copy_is_cloned_again() {
    let fixture = open(Origin::new());
    fixture.writer.write(simple_release("api", "1")).await.unwrap();
    let fixture = restart(fixture);
    fixture.origin.commit("[dev/api] release 2 by other@example.com", &[("x", "y")]);
    let fixture = restart(fixture);
    let count = |fixture: &Fixture| fixture.repository.snapshot().releases("dev", "api").count();
    assert_eq!(count(&fixture), 2);

    let copy = fixture.origin.scratch().join("copy.git");
    fixture.writer.close();
    let mut fixture = fixture;
    let damages: [fn(&Path); 4] = [
        |copy| std::fs::remove_file(copy.join("HEAD")).unwrap(),
        |copy| std::fs::remove_dir_all(copy.join("objects")).unwrap(),
        |copy| each_pack(copy, |bytes| bytes.truncate(bytes.len() / 2)),
        |copy| std::fs::write(copy.join("release-history"), "nonsense").unwrap(),
    ];
    for damage in damages {
        damage(&copy);
        fixture = open(fixture.origin);
        assert_eq!(count(&fixture), 2);
        fixture.writer.write(simple_release("web", &Uuid::new_v4().to_string())).await.unwrap();
        fixture.writer.close();
    }
    fixture.origin.assert_clean();
}

fn each_pack(copy: &Path, change: impl Fn(&mut Vec<u8>)) {
    for entry in std::fs::read_dir(copy.join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

/// What others push is fetched as a pack each, and those have to be merged too.
#[tokio::test]
async fn the_copy_stays_small_however_much_others_push() {
    let fixture = open(Origin::new());
    for round in 0..120 {
        fixture.origin.commit("by others", &[("others.txt", &round.to_string())]);
        fixture.writer.fetch().await.unwrap();
    }
    assert_eq!(count_in_packs(&fixture, "keep"), 0);
    until_there_are_few_packs(&fixture).await;
}

#[tokio::test]
async fn a_change_that_panics_does_not_end_the_writer() {
    let fixture = open(Origin::new());
    let panics = Change { release_id: None, plan: Box::new(|_| panic!("a bug")) };
    assert!(matches!(fixture.writer.write(panics).await, Err(WriteError::Unavailable(_))));
    fixture.writer.write(simple_release("api", "1")).await.unwrap();
}

#[tokio::test]
async fn a_remote_that_declines_everything_is_not_asked_for_each_member_of_a_batch() {
    let fixture = open(Origin::new());
    fixture.origin.set_hook("pre-receive", "echo x >> pushes; exit 1");
    let mut tasks = JoinSet::new();
    for i in 0..200 {
        let writer = fixture.writer.clone();
        tasks.spawn(async move { writer.write(simple_release(&format!("svc-{i}"), "1")).await });
    }
    for result in tasks.join_all().await {
        assert!(matches!(result, Err(WriteError::Declined(_))), "{result:?}");
    }
    let pushes = std::fs::read_to_string(fixture.origin.path().join("pushes")).unwrap().lines().count();
    assert!(pushes < 60, "{pushes} pushes");
}

#[tokio::test]
async fn a_remote_that_was_emptied_is_followed() {
    let fixture = open(Origin::new());
    fixture.writer.write(simple_release("api", "1")).await.unwrap();
    fixture.origin.git(&["update-ref", "-d", "refs/heads/main"]);
    fixture.writer.fetch().await.unwrap();
    assert!(fixture.repository.snapshot().tip().is_none());
    fixture.writer.write(simple_release("web", "1")).await.unwrap();
    assert_eq!(fixture.origin.titles(), ["[dev/web] release 1 by jane@example.com"]);
}

#[tokio::test]
async fn the_copy_of_another_repository_is_not_used() {
    let fixture = open(Origin::new());
    fixture.writer.close();
    let other = Origin::empty();
    other.commit("the other one", &[("OTHER", "x")]);
    let mut options = options(&fixture.origin);
    options.remote.url = other.url();
    let (repository, _writer) = ConfigRepository::open(&options).unwrap();
    assert!(repository.snapshot().tree().file("OTHER").unwrap().is_some());
}

#[tokio::test]
async fn a_configured_branch_is_read_and_written() {
    let origin = Origin::new();
    origin.commit_on("live", "on the branch", &[("live.txt", "x")]);
    let (repository, writer) =
        ConfigRepository::open(&Options { branch: Some("live".into()), ..options(&origin) }).unwrap();
    assert!(repository.snapshot().tree().file("live.txt").unwrap().is_some());
    let commit = commit_id(writer.write(simple_release("api", "1")).await);
    assert_eq!(origin.git(&["rev-parse", "live"]), commit);
    assert_eq!(origin.titles(), ["first commit"]);
}

#[tokio::test]
async fn polling_finds_what_others_push() {
    let origin = Origin::new();
    let (repository, _writer) =
        ConfigRepository::open(&Options { poll_interval: Duration::from_millis(50), ..options(&origin) })
            .unwrap();
    let head = origin.commit("[dev/api] release 1 by x@example.com", &[("a", "b")]);
    // Only time can tell that nobody else triggers it.
    while repository.snapshot().tip().map(|tip| tip.to_string()).as_ref() != Some(&head) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(repository.snapshot().releases("dev", "api").count(), 1);
}

/// 500 releases over 50 services while somebody else pushes all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_releases_and_foreign_pushes_loses_nothing() {
    const SERVICES: usize = 50;
    const ROUNDS: usize = 10;
    let fixture = open(Origin::new());
    let origin = std::sync::Arc::new(fixture.origin);
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let other = std::thread::spawn({
        let (origin, done) = (origin.clone(), done.clone());
        move || {
            let mut pushed = Vec::new();
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                // The pace of the load: ten pushes a second.
                std::thread::sleep(Duration::from_millis(100));
                let path = format!("others/{}.txt", pushed.len());
                pushed.push(origin.commit("by others", &[(&path, "x")]));
            }
            pushed
        }
    });
    let mut tasks = JoinSet::new();
    for service in 0..SERVICES {
        let writer = fixture.writer.clone();
        tasks.spawn(async move {
            let mut commits = Vec::new();
            for round in 0..ROUNDS {
                let id = Uuid::new_v4();
                // As the dispatcher does: a busy machine may lose the race for the branch many times.
                let commit = loop {
                    let change = simple_release(&format!("svc-{service}"), &format!("artifact-{round}"));
                    match writer.write(Change { release_id: Some(id), ..change }).await {
                        Err(WriteError::Unavailable(_)) => {}
                        outcome => break commit_id(outcome),
                    }
                };
                commits.push(commit);
            }
            commits
        });
    }
    let ours: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let theirs = other.join().unwrap();

    let log = origin.git(&["rev-list", "main"]);
    let mut times: HashMap<&str, usize> = HashMap::new();
    log.lines().for_each(|commit| *times.entry(commit).or_default() += 1);
    for commit in ours.iter().chain(&theirs) {
        assert_eq!(times.get(commit.as_str()), Some(&1), "{commit}");
    }
    assert_eq!(times.len(), 1 + ours.len() + theirs.len());
    for service in 0..SERVICES {
        let path = format!("dev/releases/dev/svc-{service}/artifact.json");
        assert_eq!(origin.file(&path).unwrap(), format!("artifact-{}", ROUNDS - 1).as_bytes());
    }
    origin.assert_clean();
}

/// Enough writes for the local copy to be repacked many times, with readers all the while.
#[tokio::test(flavor = "multi_thread")]
async fn the_copy_stays_small_however_many_releases_there_are() {
    let fixture = open(Origin::new());
    for round in 0..400 {
        fixture.writer.write(simple_release("api", &format!("artifact-{round}"))).await.unwrap();
        let snapshot = fixture.repository.snapshot();
        assert_eq!(snapshot.releases("dev", "api").count(), round + 1);
        let oldest = snapshot.releases("dev", "api").last().unwrap().unwrap();
        assert_eq!(oldest.message.artifact_id, "artifact-0");
        assert!(snapshot.tree_of(oldest.id).unwrap().file("README.md").unwrap().is_some());
    }
    until_there_are_few_packs(&fixture).await;
}

fn count_in_packs(fixture: &Fixture, extension: &str) -> usize {
    let entries = std::fs::read_dir(fixture.origin.scratch().join("copy.git/objects/pack")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).count()
}

/// Repacking goes on in the background; the writer starts it after whatever it is asked for.
async fn until_there_are_few_packs(fixture: &Fixture) {
    let few = async {
        while count_in_packs(fixture, "idx") > 60 {
            fixture.writer.fetch().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), few).await.expect("the copy is repacked");
}
