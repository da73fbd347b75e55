//! The config repository behind a real OpenSSH server.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use release_core::{Person, full_message};
use release_git::{
    Change, ConfigRepository, Credentials, Edit, Operation, Options, Outcome, Plan, RemoteOptions,
    WriteError, Writer,
};
use release_testing::{keys::ssh_key, origin::Origin, sshd::Sshd};

struct Site {
    origin: Origin,
    sshd: Sshd,
}

impl Site {
    fn new() -> Self {
        Self { origin: Origin::new(), sshd: Sshd::start() }
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            ssh_key: Some(self.sshd.key()),
            ssh_known_hosts: Some(self.sshd.known_hosts()),
            ..Credentials::default()
        }
    }

    fn options(&self, credentials: Credentials) -> Options {
        let url = self.sshd.url(&self.origin);
        Options {
            directory: self.origin.scratch().join("copy.git"),
            remote: RemoteOptions { url, credentials, timeout: Duration::from_mins(1) },
            branch: None,
            committer: Person::new("release-manager", "bot@example.com"),
            signing: None,
            poll_interval: Duration::from_hours(1),
            max_pushes_per_minute: 0,
            on_push: std::sync::Arc::new(|_| ()),
        }
    }

    fn open(&self) -> (ConfigRepository, Writer) {
        ConfigRepository::open(&self.options(self.credentials())).unwrap()
    }

    /// Why the repository cannot be opened.
    fn refusal(&self, credentials: Credentials) -> String {
        why_not(&self.options(credentials))
    }
}

fn why_not(options: &Options) -> String {
    let Err(error) = ConfigRepository::open(options) else { panic!("it can be opened") };
    full_message(&error)
}

async fn write(writer: &Writer, name: &str) -> Result<Outcome, WriteError> {
    let path = name.to_owned();
    let plan = move |_: &release_git::Tree<'_>| {
        let operation =
            Operation::PutFile { path: path.clone(), contents: Bytes::from_static(b"x"), executable: false };
        let author = Person::new("Jane", "jane@example.com");
        Ok(Plan::Commit(Edit { message: path.clone(), author, operations: vec![operation] }))
    };
    writer.write(Change { release_id: None, plan: Box::new(plan) }).await
}

fn committed(result: &Result<Outcome, WriteError>) {
    assert!(matches!(result, Ok(Outcome::Committed(_))), "{result:?}");
}

/// The process ids of the masters whose socket is below this directory.
fn masters(directory: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-e", "-o", "pid=,args="]).output().unwrap();
    let directory = directory.display().to_string();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains("[mux]") && line.contains(&directory))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how long it takes is told, and decides nothing")]
async fn all_pushes_share_one_connection_that_ends_with_the_writer() {
    let site = Site::new();
    let (_, writer) = site.open();
    let before = site.sshd.connections();
    let mut times = Vec::new();
    for number in 0..5 {
        let started = Instant::now();
        committed(&write(&writer, &format!("file-{number}")).await);
        times.push(started.elapsed());
    }
    println!("pushes over one connection took {times:?}");
    assert_eq!(site.sshd.connections(), before, "no connection is made");
    assert_eq!(masters(site.origin.scratch()).len(), 1);
    writer.close();
    assert_eq!(masters(site.origin.scratch()), Vec::<String>::new());
    site.origin.assert_clean();
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew_without_anybody_noticing() {
    let site = Site::new();
    let (repository, writer) = site.open();
    committed(&write(&writer, "before").await);
    site.sshd.cut_connections();
    committed(&write(&writer, "connections cut").await);
    signal("-KILL", &masters(site.origin.scratch())[0]);
    committed(&write(&writer, "master killed").await);
    assert_eq!(*repository.problem().borrow(), None);
    writer.close();
    site.origin.assert_clean();
}

#[tokio::test]
async fn a_master_that_hangs_costs_one_timeout_and_no_more() {
    let site = Site::new();
    let mut options = site.options(site.credentials());
    options.remote.timeout = Duration::from_secs(5);
    let (_, writer) = ConfigRepository::open(&options).unwrap();
    committed(&write(&writer, "before").await);
    let [master] = &masters(site.origin.scratch())[..] else { panic!("there is one") };
    signal("-STOP", master);
    // The push fails, and the look at what became of it makes a new connection.
    let failed = write(&writer, "while it hangs").await;
    committed(&write(&writer, "afterwards").await);
    signal("-KILL", master);
    assert!(matches!(failed, Err(WriteError::Unavailable(_))), "{failed:?}");
    writer.close();
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let mut site = Site::new();
    let (_, writer) = site.open();
    committed(&write(&writer, "before").await);
    site.sshd.stop();
    let refused = write(&writer, "while it is down").await;
    assert!(
        matches!(&refused, Err(WriteError::Unavailable(why)) if why.contains("nobody listens")),
        "{refused:?}"
    );
    site.sshd.restart();
    committed(&write(&writer, "afterwards").await);
    writer.close();
}

#[test]
fn each_key_that_does_not_work_is_told_apart() {
    let site = Site::new();
    let directory = tempfile::tempdir().unwrap();
    let with_key = |key: PathBuf| Credentials { ssh_key: Some(key), ..site.credentials() };
    let missing = directory.path().join("missing");
    let locked = ssh_key(&directory.path().join("locked"), "ed25519", "open sesame");
    let open = directory.path().join("open");
    fs::copy(site.sshd.key(), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let broken = directory.path().join("broken");
    fs::write(&broken, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
        .unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).unwrap();
    for (key, expected) in [
        (missing, "the file of the ssh key is not there"),
        (locked, "is protected by a passphrase"),
        (open, "others may read"),
        (broken, "none that ssh understands"),
        (site.sshd.strangers_key(), "does not accept the ssh key"),
    ] {
        let refusal = site.refusal(with_key(key));
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
}

#[test]
fn each_server_that_cannot_be_used_is_told_apart() {
    let mut site = Site::new();
    let empty = site.origin.scratch().join("empty");
    fs::write(&empty, "").unwrap();
    let unknown = Credentials { ssh_known_hosts: Some(empty), ..site.credentials() };
    let refusal = site.refusal(unknown);
    assert!(refusal.contains("ssh host key is not known"), "{refusal}");

    let mut options = site.options(site.credentials());
    options.remote.url = site.sshd.url_of(Path::new("/no/such/repository"));
    let why = why_not(&options);
    assert!(why.contains("there is no such repository"), "{why}");
    options.remote.url = "ssh://git@no-such-host.invalid/config.git".to_owned();
    let why = why_not(&options);
    assert!(why.contains("the host name is not known"), "{why}");

    site.sshd.stop();
    let refusal = site.refusal(site.credentials());
    assert!(refusal.contains("nobody listens there"), "{refusal}");
    site.sshd.change_host_key();
    site.sshd.restart();
    let refusal = site.refusal(site.credentials());
    assert!(refusal.contains("another ssh host key than the one that is known"), "{refusal}");
}

#[tokio::test]
async fn a_key_that_may_only_read_reads() {
    let site = Site::new();
    let reader = Credentials { ssh_key: Some(site.sshd.read_only_key()), ..site.credentials() };
    let (repository, writer) = ConfigRepository::open(&site.options(reader)).unwrap();
    assert_eq!(repository.snapshot().tip().unwrap().to_string(), site.origin.head());
    let refused = write(&writer, "file").await;
    let problem = repository.problem().borrow().clone().unwrap_or_default();
    assert!(problem.contains("may only read"), "{problem}");
    assert!(
        matches!(&refused, Err(WriteError::Unavailable(why)) if why.contains("may only read")),
        "{refused:?}"
    );
    writer.close();
}

#[tokio::test]
async fn a_new_host_key_is_believed_once_if_that_is_asked_for() {
    let mut site = Site::new();
    let learned = site.origin.scratch().join("learned hosts");
    let learning = Credentials {
        ssh_known_hosts: Some(learned.clone()),
        ssh_accept_new_host_keys: true,
        ..site.credentials()
    };
    let (repository, writer) = ConfigRepository::open(&site.options(learning)).unwrap();
    committed(&write(&writer, "file").await);
    assert!(fs::read_to_string(learned).unwrap().contains("ssh-ed25519"));
    site.sshd.stop();
    site.sshd.change_host_key();
    site.sshd.restart();
    assert!(write(&writer, "other").await.is_err());
    let problem = repository.problem().borrow().clone().unwrap_or_default();
    assert!(problem.contains("another ssh host key than the one that is known"), "{problem}");
    writer.close();
}
