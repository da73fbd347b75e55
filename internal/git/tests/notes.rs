//! Notes against a real bare repository, and beside real `git notes`.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use release_core::Person;
use release_git::{
    Change, ConfigRepository, Credentials, Edit, Note, Noted, ObjectId, Operation, Options, Outcome, Plan,
    RemoteOptions, SigningOptions, WriteError, Writer,
};
use release_testing::{
    https::Https,
    keys::{allowed_signers, ssh_key},
    origin::Origin,
    sshd::Sshd,
};
use tokio::task::JoinSet;

const NOTES: &str = "refs/notes/rollouts";

struct Fixture {
    origin: Origin,
    repository: ConfigRepository,
    writer: Writer,
}

fn options(origin: &Origin, copy: &str) -> Options {
    Options {
        directory: origin.scratch().join(copy),
        remote: RemoteOptions {
            url: origin.url(),
            credentials: Credentials::default(),
            timeout: Duration::from_mins(1),
        },
        branch: None,
        committer: Person::new("release-manager", "bot@example.com"),
        signing: None,
        poll_interval: Duration::from_hours(1),
        max_pushes_per_minute: 0,
        on_push: Arc::new(|_| ()),
    }
}

fn open(origin: Origin) -> Fixture {
    let (repository, writer) = ConfigRepository::open(&options(&origin, "copy.git")).unwrap();
    Fixture { origin, repository, writer }
}

/// With a limit of pushes that is never met: notes go with releases.
fn open_limited(origin: Origin) -> Fixture {
    let options = Options { max_pushes_per_minute: 10_000, ..options(&origin, "copy.git") };
    let (repository, writer) = ConfigRepository::open(&options).unwrap();
    Fixture { origin, repository, writer }
}

impl Fixture {
    fn note_of(&self, commit: ObjectId) -> Option<String> {
        self.repository.snapshot().note(commit).unwrap()
    }

    fn head(&self) -> ObjectId {
        self.origin.head().parse().unwrap()
    }
}

/// A line that is appended once.
fn line(commit: ObjectId, line: &str) -> Note {
    let line = format!("{line}\n");
    let plan = move |old: Option<&str>| {
        let old = old.unwrap_or_default();
        (!old.contains(&line)).then(|| format!("{old}{line}"))
    };
    Note { commit, plan: Box::new(plan) }
}

/// Of commits that exist nowhere: notes need none.
fn some_commit(number: usize) -> ObjectId {
    // Spread as hashes are.
    format!("{:016x}{number:024x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse().unwrap()
}

fn change_of(path: &str) -> Change {
    let path = path.to_owned();
    let plan = move |_: &release_git::Tree<'_>| {
        let operation =
            Operation::PutFile { path: path.clone(), contents: Bytes::from_static(b"x"), executable: false };
        let author = Person::new("Jane", "jane@example.com");
        Ok(Plan::Commit(Edit { message: path.clone(), author, operations: vec![operation] }))
    };
    Change { release_id: None, plan: Box::new(plan) }
}

/// The release is announced before the note, and comes after it.
async fn note_and_release(
    writer: &Writer,
    note: Note,
    change: Change,
) -> (Result<Noted, WriteError>, Result<Outcome, WriteError>) {
    let announced = writer.announce();
    tokio::join!(writer.note(note), announced.write(change))
}

/// As a person does it in a clone.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// What `git notes` reads in the remote.
fn shown(origin: &Origin, commit: ObjectId) -> String {
    origin.git(&["notes", "--ref=rollouts", "show", &commit.to_string()])
}

/// Counts the pushes that the remote gets: to the branch, and to notes.
struct Pushes(std::path::PathBuf);

impl Pushes {
    fn of(origin: &Origin) -> Self {
        let path = origin.scratch().join("pushes");
        origin.set_hook("post-receive", &format!("tr '\\n' ' ' >> {0}; echo >> {0}", path.display()));
        Self(path)
    }

    /// The references of each push that is over: the next one, and the end of the writer, wait for its hooks.
    fn seen(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let references = |line: &str| line.split(' ').skip(2).step_by(3).map(str::to_owned).collect();
        text.lines().map(references).collect()
    }
}

#[tokio::test]
async fn a_note_is_read_by_git_and_from_the_snapshot() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    assert_eq!(fixture.note_of(commit), None);
    assert_eq!(fixture.writer.note(line(commit, "healthy")).await.unwrap(), Noted::Written);
    assert_eq!(fixture.note_of(commit).as_deref(), Some("healthy\n"));
    assert_eq!(shown(&fixture.origin, commit), "healthy");
    let log = fixture.origin.git(&["log", "--notes=rollouts", "--format=%N", "main"]);
    assert_eq!(log.trim(), "healthy");
    let people = fixture.origin.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>", NOTES]);
    assert_eq!(people, "release-manager <bot@example.com> release-manager <bot@example.com>");
    assert_eq!(fixture.origin.titles(), ["first commit"], "the branch stays as it was");
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn what_is_noted_already_is_not_written_again() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    fixture.writer.note(line(commit, "healthy")).await.unwrap();
    let before = fixture.origin.git(&["rev-parse", NOTES]);
    assert_eq!(fixture.writer.note(line(commit, "healthy")).await.unwrap(), Noted::Unchanged);
    let same = Note { commit, plan: Box::new(|old| old.map(str::to_owned)) };
    assert_eq!(fixture.writer.note(same).await.unwrap(), Noted::Unchanged);
    assert_eq!(fixture.origin.git(&["rev-parse", NOTES]), before);
}

#[tokio::test]
async fn what_seems_to_be_noted_is_looked_for_at_the_remote() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    fixture.writer.note(line(commit, "healthy")).await.unwrap();
    fixture.origin.git(&["update-ref", "-d", NOTES]);
    assert_eq!(fixture.writer.note(line(commit, "healthy")).await.unwrap(), Noted::Written);
    assert_eq!(shown(&fixture.origin, commit), "healthy");
}

#[tokio::test]
async fn notes_of_one_commit_compose_in_order() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    let lines: Vec<String> = (0..50).map(|number| format!("line {number:02}")).collect();
    let mut notes = JoinSet::new();
    for text in &lines {
        let (writer, text) = (fixture.writer.clone(), text.clone());
        notes.spawn(async move { writer.note(line(commit, &text)).await });
        // It is handed over before the next one.
        tokio::task::yield_now().await;
    }
    assert!(notes.join_all().await.into_iter().all(|noted| noted.unwrap() == Noted::Written));
    assert_eq!(shown(&fixture.origin, commit).lines().collect::<Vec<_>>(), lines);
}

#[tokio::test]
async fn five_hundred_notes_are_few_pushes_and_each_is_found() {
    let fixture = open(Origin::new());
    let pushes = Pushes::of(&fixture.origin);
    write_notes(&fixture.writer, 0..500).await;
    fixture.writer.close();
    assert!(pushes.seen().len() <= 3, "{:?}", pushes.seen());
    let listed = fixture.origin.git(&["notes", "--ref=rollouts", "list"]);
    assert_eq!(listed.lines().count(), 500);
    for number in 0..500 {
        assert_eq!(fixture.note_of(some_commit(number)), Some(format!("note {number}\n")));
    }
    fixture.origin.assert_clean();
    let garbage = fixture.origin.git(&["fsck", "--unreachable", "--no-progress"]);
    assert_eq!(garbage, "", "each tree is written once");
}

async fn write_notes(writer: &Writer, numbers: std::ops::Range<usize>) {
    let mut notes = JoinSet::new();
    for number in numbers {
        let writer = writer.clone();
        notes.spawn(async move { writer.note(line(some_commit(number), &format!("note {number}"))).await });
    }
    for noted in notes.join_all().await {
        assert_eq!(noted.unwrap(), Noted::Written);
    }
}

#[tokio::test]
async fn every_fan_out_of_git_is_read_and_kept() {
    for (count, levels) in [(20, 0), (2_000, 1), (70_000, 2)] {
        let fixture = open(Origin::new());
        notes_by_git(&fixture.origin, fixture.head(), count);
        let paths = fixture.origin.git(&["ls-tree", "-r", "--name-only", NOTES]);
        let slashes = |path: &str| path.matches('/').count();
        assert!(paths.lines().all(|path| slashes(path) == levels), "git's fan-out of {count} notes");
        fixture.writer.fetch().await.unwrap();
        let (old, new) = (some_commit(count / 2), some_commit(count));
        assert_eq!(fixture.note_of(old).as_deref(), Some("by git\n"));
        fixture.writer.note(line(old, "by us")).await.unwrap();
        fixture.writer.note(line(new, "new")).await.unwrap();
        assert_eq!(shown(&fixture.origin, old), "by git\nby us");
        assert_eq!(shown(&fixture.origin, new), "new");
        assert_eq!(fixture.note_of(new).as_deref(), Some("new\n"));
        let listed = fixture.origin.git(&["notes", "--ref=rollouts", "list"]);
        assert_eq!(listed.lines().count(), count + 2, "none is there twice");
        // Git lays everything out anew when it writes, and what we wrote is a part of it.
        git(&fixture.origin.path(), &["notes", "--ref=rollouts", "append", "-m", "by git", &new.to_string()]);
        fixture.writer.fetch().await.unwrap();
        assert_eq!(fixture.note_of(new).as_deref(), Some("new\n\nby git\n"));
        fixture.origin.assert_clean();
    }
}

/// By `git notes`, on the first commit and so many more.
fn notes_by_git(origin: &Origin, first: ObjectId, count: usize) {
    use std::{fmt::Write as _, io::Write as _, process::Stdio};
    git(&origin.path(), &["notes", "--ref=rollouts", "add", "-m", "by git", &first.to_string()]);
    let mut child = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(["notes", "--ref=rollouts", "copy", "--stdin"])
        .current_dir(origin.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = String::new();
    (0..count).for_each(|number| writeln!(lines, "{first} {}", some_commit(number)).unwrap());
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn notes_of_a_person_with_git_and_of_two_servers_all_arrive() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    let (other, others) = ConfigRepository::open(&options(&fixture.origin, "other.git")).unwrap();
    let person = {
        let clone = fixture.origin.scratch().join("clone");
        let url = fixture.origin.url();
        std::thread::spawn(move || (0..10).for_each(|number| append_by_git(&clone, &url, commit, number)))
    };
    for number in 0..5 {
        let (ours, theirs) = (format!("ours {number}"), format!("theirs {number}"));
        let path = format!("file-{number}");
        let (noted, also, written) = tokio::join!(
            fixture.writer.note(line(commit, &ours)),
            others.note(line(commit, &theirs)),
            others.write(change_of(&path)),
        );
        assert_eq!((noted.unwrap(), also.unwrap()), (Noted::Written, Noted::Written));
        written.unwrap();
    }
    tokio::task::spawn_blocking(|| person.join().unwrap()).await.unwrap();
    let note = shown(&fixture.origin, commit);
    for number in 0..10 {
        assert_eq!(note.matches(&format!("git {number};")).count(), 1, "{note}");
    }
    for number in 0..5 {
        assert_eq!(note.matches(&format!("ours {number}")).count(), 1, "{note}");
        assert_eq!(note.matches(&format!("theirs {number}")).count(), 1, "{note}");
    }
    others.fetch().await.unwrap();
    assert_eq!(other.snapshot().note(commit).unwrap(), Some(note + "\n"));
    assert_eq!(fixture.origin.titles().len(), 6);
    fixture.origin.assert_clean();
}

/// In a clone, again until nobody was faster.
fn append_by_git(clone: &Path, url: &str, commit: ObjectId, number: usize) {
    if !clone.exists() {
        git(clone.parent().unwrap(), &["clone", "--quiet", "--bare", url, &clone.to_string_lossy()]);
    }
    let refspec = format!("+{NOTES}*:{NOTES}*");
    loop {
        git(clone, &["fetch", "--quiet", "origin", &refspec]);
        let text = format!("git {number};");
        git(clone, &["notes", "--ref=rollouts", "append", "-m", &text, &commit.to_string()]);
        let push = ["push", "--quiet", "origin", NOTES];
        let output = Command::new("git").args(push).current_dir(clone).output().unwrap();
        if output.status.success() {
            return;
        }
    }
}

#[tokio::test]
async fn notes_that_somebody_deleted_or_rewrote_are_followed() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    fixture.writer.note(line(commit, "one")).await.unwrap();
    let first = fixture.origin.git(&["rev-parse", NOTES]);
    fixture.writer.note(line(commit, "two")).await.unwrap();
    fixture.origin.git(&["update-ref", NOTES, &first]);
    fixture.writer.fetch().await.unwrap();
    assert_eq!(fixture.note_of(commit).as_deref(), Some("one\n"));
    fixture.origin.git(&["update-ref", "-d", NOTES]);
    fixture.writer.fetch().await.unwrap();
    assert_eq!(fixture.note_of(commit), None);
    // Also while it is not known yet.
    fixture.writer.note(line(commit, "three")).await.unwrap();
    fixture.origin.git(&["update-ref", "-d", NOTES]);
    fixture.writer.note(line(commit, "four")).await.unwrap();
    assert_eq!(shown(&fixture.origin, commit), "four");
    assert_eq!(*fixture.repository.problem().borrow(), None);
    fixture.writer.write(change_of("file")).await.unwrap();
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn notes_that_are_none_stand_in_the_way_of_no_release() {
    let fixture = open(Origin::new());
    let blob = fixture.origin.git(&["rev-parse", "main:README.md"]);
    fixture.origin.git(&["update-ref", NOTES, &blob]);
    fixture.writer.fetch().await.unwrap();
    assert!(fixture.repository.snapshot().note(fixture.head()).is_err());
    let noted = fixture.writer.note(line(fixture.head(), "healthy")).await;
    assert!(matches!(noted, Err(WriteError::Unavailable(_))), "{noted:?}");
    fixture.writer.write(change_of("file")).await.unwrap();
    assert_eq!(*fixture.repository.problem().borrow(), None);
}

#[tokio::test]
async fn a_restarted_server_and_a_new_copy_know_all_notes() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    fixture.writer.note(line(commit, "healthy")).await.unwrap();
    fixture.writer.close();
    // What is known without the remote is known at once.
    fixture.origin.go_away();
    let (repository, writer) = ConfigRepository::open(&options(&fixture.origin, "copy.git")).unwrap();
    assert_eq!(repository.snapshot().note(commit).unwrap().as_deref(), Some("healthy\n"));
    writer.close();
    fixture.origin.come_back();
    let (repository, writer) = ConfigRepository::open(&options(&fixture.origin, "new.git")).unwrap();
    assert_eq!(repository.snapshot().note(commit).unwrap().as_deref(), Some("healthy\n"));
    assert_eq!(writer.note(line(commit, "healthy")).await.unwrap(), Noted::Unchanged);
}

#[tokio::test]
async fn notes_that_wait_at_the_stop_are_written() {
    let fixture = open(Origin::new());
    let commit = fixture.head();
    let noted = tokio::spawn({
        let writer = fixture.writer.clone();
        async move { writer.note(line(commit, "healthy")).await }
    });
    // It is handed over, and gathered for a second.
    tokio::task::yield_now().await;
    fixture.writer.close();
    assert_eq!(noted.await.unwrap().unwrap(), Noted::Written);
    assert!(matches!(fixture.writer.note(line(commit, "late")).await, Err(WriteError::Closed)));
}

/// Two ways to decline: of the whole push, and of one reference.
const DECLINE: [(&str, &str); 2] = [
    (
        "pre-receive",
        "while read old new ref; do case $ref in refs/notes/*) echo 'no notes'; exit 1;; esac; done",
    ),
    ("update", "case $1 in refs/notes/*) echo 'no notes'; exit 1;; esac"),
];

#[tokio::test]
async fn a_remote_that_declines_notes_takes_releases() {
    for (hook, script) in DECLINE {
        let fixture = open_limited(Origin::new());
        let pushes = Pushes::of(&fixture.origin);
        let commit = fixture.head();
        fixture.writer.note(line(commit, "taken")).await.unwrap();
        fixture.origin.set_hook(hook, script);
        let path = format!("{hook}-file");
        let (noted, written) =
            note_and_release(&fixture.writer, line(commit, "declined"), change_of(&path)).await;
        assert!(matches!(written, Ok(Outcome::Committed(_))), "{written:?}");
        assert!(matches!(&noted, Err(WriteError::Declined(why)) if why.contains("no notes")), "{noted:?}");
        assert_eq!(*fixture.repository.problem().borrow(), None, "{hook}");
        assert_eq!(fixture.origin.head(), fixture.repository.snapshot().tip().unwrap().to_string());
        // Once that is known, notes are no part of a push of releases.
        let (noted, written) =
            note_and_release(&fixture.writer, line(commit, "declined"), change_of("other")).await;
        assert!(matches!(noted, Err(WriteError::Declined(_))), "{noted:?}");
        written.unwrap();
        fixture.origin.remove_hook(hook);
        assert_eq!(fixture.writer.note(line(commit, "again")).await.unwrap(), Noted::Written);
        assert_eq!(shown(&fixture.origin, commit), "taken\nagain");
        fixture.writer.close();
        let main = "refs/heads/main";
        assert_eq!(pushes.seen(), [[NOTES], [main], [main], [NOTES]]);
        fixture.origin.assert_clean();
    }
}

#[tokio::test]
async fn where_pushes_are_limited_notes_go_with_those_of_releases() {
    let fixture = open_limited(Origin::new());
    let pushes = Pushes::of(&fixture.origin);
    let commit = fixture.head();
    fixture.writer.note(line(commit, "first")).await.unwrap();
    for number in 0..5 {
        let (text, path) = (format!("line {number}"), format!("file-{number}"));
        let (noted, written) = note_and_release(&fixture.writer, line(commit, &text), change_of(&path)).await;
        assert_eq!(noted.unwrap(), Noted::Written);
        written.unwrap();
        assert_eq!(fixture.note_of(commit).unwrap(), shown(&fixture.origin, commit) + "\n");
    }
    fixture.writer.close();
    assert_eq!(pushes.seen()[1..], vec![["refs/heads/main", NOTES]; 5]);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn where_pushes_are_not_limited_releases_go_before_notes() {
    let fixture = open(Origin::new());
    let pushes = Pushes::of(&fixture.origin);
    let announced = fixture.writer.announce();
    let written = async {
        // Longer than notes are gathered: only time can tell that they wait for what is announced.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        announced.write(change_of("file")).await
    };
    let (noted, written) = tokio::join!(fixture.writer.note(line(fixture.head(), "healthy")), written);
    assert_eq!(noted.unwrap(), Noted::Written);
    written.unwrap();
    fixture.writer.close();
    assert_eq!(pushes.seen(), [["refs/heads/main"], [NOTES]]);
}

#[tokio::test]
async fn notes_do_not_wait_for_ever_for_what_is_announced() {
    let fixture = open(Origin::new());
    let _announced = fixture.writer.announce();
    let noted = fixture.writer.note(line(fixture.head(), "healthy"));
    let noted = tokio::time::timeout(Duration::from_mins(1), noted).await.expect("it is written");
    assert_eq!(noted.unwrap(), Noted::Written);
}

#[tokio::test]
async fn a_release_that_goes_with_notes_is_written_although_others_moved_the_notes() {
    let fixture = open_limited(Origin::new());
    let pushes = Pushes::of(&fixture.origin);
    let commit = fixture.head();
    fixture.writer.note(line(commit, "first")).await.unwrap();
    git(&fixture.origin.path(), &["notes", "--ref=rollouts", "append", "-m", "by git", &commit.to_string()]);
    let (noted, written) = note_and_release(&fixture.writer, line(commit, "second"), change_of("file")).await;
    assert_eq!(noted.unwrap(), Noted::Written);
    written.unwrap();
    fixture.writer.close();
    assert_eq!(pushes.seen()[1..], [["refs/heads/main"], [NOTES]]);
    assert_eq!(shown(&fixture.origin, commit), "first\n\nby git\nsecond");
}

#[tokio::test]
async fn a_note_whose_plan_panics_harms_neither_releases_nor_the_next_note() {
    let fixture = open_limited(Origin::new());
    let commit = fixture.head();
    fixture.writer.note(line(commit, "first")).await.unwrap();
    let broken = Note { commit, plan: Box::new(|_| panic!("a bug")) };
    let (noted, written) = note_and_release(&fixture.writer, broken, change_of("file")).await;
    assert!(matches!(noted, Err(WriteError::Unavailable(_))), "{noted:?}");
    written.unwrap();
    assert_eq!(fixture.writer.note(line(commit, "second")).await.unwrap(), Noted::Written);
}

#[tokio::test]
async fn an_empty_remote_has_no_notes_and_can_get_some() {
    let fixture = open(Origin::empty());
    fixture.writer.write(change_of("file")).await.unwrap();
    let commit = fixture.head();
    fixture.writer.note(line(commit, "healthy")).await.unwrap();
    assert_eq!(shown(&fixture.origin, commit), "healthy");
    fixture.origin.git(&["update-ref", "-d", "refs/heads/main"]);
    fixture.writer.fetch().await.unwrap();
    assert_eq!(*fixture.repository.problem().borrow(), None);
}

#[tokio::test]
async fn commits_of_notes_are_signed_too() {
    let origin = Origin::new();
    let key = ssh_key(&origin.scratch().join("key"), "ed25519", "");
    origin.git(&["config", "gpg.ssh.allowedSignersFile", &allowed_signers(&key).to_string_lossy()]);
    let signing = SigningOptions { key: key.to_string_lossy().into_owned(), gpg_key_paths: Vec::new() };
    let signed = Options { signing: Some(signing), ..options(&origin, "copy.git") };
    let (_, writer) = ConfigRepository::open(&signed).unwrap();
    writer.note(line(origin.head().parse().unwrap(), "healthy")).await.unwrap();
    origin.verify_commit(NOTES, &[]);
    origin.assert_clean();
}

/// Notes, with and without releases, on a remote that is reached in another way.
async fn write_all_ways(origin: &Origin, options: &Options) {
    let limited = Options { max_pushes_per_minute: 10_000, ..options.clone() };
    let (repository, writer) = ConfigRepository::open(&limited).unwrap();
    let pushes = Pushes::of(origin);
    let commit = origin.head().parse().unwrap();
    let read = || repository.snapshot().note(commit).unwrap();
    writer.note(line(commit, "one")).await.unwrap();
    let (noted, written) = note_and_release(&writer, line(commit, "two"), change_of("file")).await;
    assert_eq!(noted.unwrap(), Noted::Written);
    written.unwrap();
    assert_eq!(read().as_deref(), Some("one\ntwo\n"));
    git(&origin.path(), &["notes", "--ref=rollouts", "append", "-m", "three", &commit.to_string()]);
    let (noted, written) = note_and_release(&writer, line(commit, "four"), change_of("other")).await;
    assert_eq!(noted.unwrap(), Noted::Written);
    written.unwrap();
    assert_eq!(pushes.seen()[1], ["refs/heads/main", NOTES]);
    assert_eq!(shown(origin, commit), "one\ntwo\n\nthree\nfour");
    for (hook, script) in DECLINE {
        origin.set_hook(hook, script);
        let path = format!("{hook}-file");
        let (noted, written) = note_and_release(&writer, line(commit, "no"), change_of(&path)).await;
        assert!(matches!(&noted, Err(WriteError::Declined(why)) if why.contains("no notes")), "{noted:?}");
        written.unwrap();
        origin.remove_hook(hook);
        writer.note(line(commit, hook)).await.unwrap();
    }
    origin.git(&["update-ref", "-d", NOTES]);
    writer.fetch().await.unwrap();
    assert_eq!(read(), None);
    assert_eq!(*repository.problem().borrow(), None);
    writer.close();
    origin.assert_clean();
}

#[tokio::test]
async fn notes_go_over_ssh() {
    let (origin, sshd) = (Origin::new(), Sshd::start());
    let mut options = options(&origin, "copy.git");
    options.remote.url = sshd.url(&origin);
    options.remote.credentials.ssh_key = Some(sshd.key());
    options.remote.credentials.ssh_known_hosts = Some(sshd.known_hosts());
    write_all_ways(&origin, &options).await;
}

/// No test may change its environment, by which git believes the server's certificate.
#[test]
fn notes_go_over_https() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["over_https_in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
        .env("GIT_SSL_NO_VERIFY", "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "notes_go_over_https runs it"]
async fn over_https_in_a_process_of_its_own() {
    let origin = Origin::new();
    let https = Https::start(&origin);
    let mut options = options(&origin, "copy.git");
    options.remote.url = https.url();
    options.remote.credentials.https_token = Some(Https::TOKEN.to_owned());
    write_all_ways(&origin, &options).await;
}
