//! The remote config repository, reached by the `git` program: it knows every
//! transport, runs hooks, sends thin packs and uses the machine's configuration.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Mutex,
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    GitError, ObjectId,
    failure::{KEY_REFUSED, explain},
    note::NOTES,
    process::{Git, Output, complaint},
    receive_pack::{Receiver, Update},
    repository::reference,
    ssh::{self, Connection},
    store::ObjectStore,
};

/// Where the config repository is and how to get in.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// A `file`, `ssh` or `https` URL, a path, or `user@host:path`.
    pub url: String,
    pub credentials: Credentials,
    /// How long one fetch or push may take; a first clone may take twenty times as long.
    pub timeout: Duration,
}

/// All empty: what the machine's git and ssh configuration give.
#[derive(Clone, Default)]
pub struct Credentials {
    pub ssh_key: Option<PathBuf>,
    pub ssh_known_hosts: Option<PathBuf>,
    /// Whether the key of a host that is not known yet is believed and remembered.
    pub ssh_accept_new_host_keys: bool,
    pub https_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ssh_key", &self.ssh_key)
            .field("ssh_known_hosts", &self.ssh_known_hosts)
            .field("ssh_accept_new_host_keys", &self.ssh_accept_new_host_keys)
            .field("https_token", &self.https_token.as_ref().map(|_| "…"))
            .finish()
    }
}

const CANNOT_FETCH: &str = "the config repository cannot be fetched";
const CANNOT_PUSH: &str = "the config repository cannot be pushed to";
/// A pattern: `git fetch` fails for a reference that is not there, but not for none that match.
const SOME_NOTES: &str = "+refs/notes/rollouts*:refs/notes/rollouts*";
/// How many times longer than a fetch the first one may take.
const CLONE_TIMEOUTS: u32 = 20;

/// What a push came to, if the remote answered at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Accepted,
    /// The branch is no longer where it was, or the remote does not want the
    /// commits: a look at the branch tells which. The text is the remote's.
    Refused(String),
}

pub(crate) struct Remote {
    options: RemoteOptions,
    /// The URL after the rewriting that the machine's git configuration asks for,
    /// which `git fetch-pack` alone does not do.
    fetch_url: String,
    environment: Vec<(String, String)>,
    /// Kept open between runs of git, if the URL is an ssh one.
    connection: Option<Connection>,
    receiver: Option<Receiver>,
    /// What the remote still does for a push that has been answered.
    finishing: Mutex<Option<JoinHandle<()>>>,
}

impl Remote {
    /// `connection_directory` is where an ssh connection that is kept open has its socket.
    pub(crate) fn new(options: RemoteOptions, connection_directory: &Path) -> Self {
        let here = Git { action: "", directory: Path::new("."), timeout: options.timeout, environment: &[] };
        let fetch_url = match here.check(&["ls-remote", "--get-url", &options.url]) {
            Ok(url) => url.trim_end().to_owned(),
            Err(_) => options.url.clone(),
        };
        // Pushes may have rewriting of their own, which only `git push` knows.
        let rewrites_pushes = here.check(&["config", "--get-regexp", r"^url\..*\.pushinsteadof$"]).is_ok();
        let receiver = if rewrites_pushes { None } else { Receiver::of(&fetch_url) };
        let connection = ssh::is_ssh(&fetch_url).then(|| Connection::new(connection_directory)).flatten();
        let environment = environment(&options.credentials, &options.url, connection.as_ref());
        Self { options, fetch_url, environment, connection, receiver, finishing: Mutex::default() }
    }

    /// Ends the connection that is kept open; the next run of git makes a new one.
    pub(crate) fn disconnect(&self) {
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }

    /// Runs git, and once more if the connection that it found open was of no use any more. What is
    /// run twice does no harm: a push says from where to where.
    fn over_connection<T>(&self, run: impl Fn() -> Result<T, GitError>) -> Result<T, GitError> {
        let was_open = self.connection.as_ref().is_some_and(Connection::is_open);
        let mut result = run();
        if was_open && matches!(result, Err(GitError::Remote { .. })) {
            self.disconnect();
            result = run();
        }
        if result.is_err() {
            self.disconnect();
        }
        result.map_err(|error| self.for_people(error))
    }

    pub(crate) fn url(&self) -> &str {
        &self.options.url
    }

    /// The URL as it may be shown: a user name may be a token, except over ssh.
    pub(crate) fn display_url(&self) -> String {
        match url::Url::parse(&self.options.url) {
            Ok(mut url) if url.password().is_some() || url.scheme().starts_with("http") => {
                let _ = url.set_password(None);
                let _ = url.set_username("");
                url.into()
            }
            _ => self.options.url.clone(),
        }
    }

    /// Git repeats the URL in some of its messages, and ssh says nothing of a passphrase.
    fn for_people(&self, error: GitError) -> GitError {
        let GitError::Remote { action, mut reason } = error else { return error };
        let key = self.options.credentials.ssh_key.as_deref();
        if reason.starts_with(KEY_REFUSED) && key.is_some_and(ssh::has_passphrase) {
            "the ssh key is protected by a passphrase, which nobody can type; give a key without one"
                .clone_into(&mut reason);
        }
        GitError::Remote { action, reason: reason.replace(&self.options.url, &self.display_url()) }
    }

    /// Clones one branch, or the default one, as a bare repository without tags.
    pub(crate) fn clone_to(&self, directory: &Path, branch: Option<&str>) -> Result<(), GitError> {
        let parent = directory.parent().unwrap_or(directory);
        let target = directory.to_string_lossy();
        // What an empty remote calls its branch is not told by every server.
        let mut arguments = vec!["-c", "init.defaultBranch=main", "clone", "--quiet"];
        arguments.extend(["--bare", "--no-tags", "--single-branch", "--no-local"]);
        if let Some(branch) = branch {
            arguments.extend(["--branch", branch]);
        }
        arguments.extend(["--", &self.options.url, &target]);
        let action = "the config repository cannot be cloned";
        let git = self.git(action, parent, self.options.timeout * CLONE_TIMEOUTS);
        self.over_connection(|| git.check(&arguments)).map(|_| ())
    }

    /// The branch that the remote's `HEAD` names; `None` for a remote without commits.
    pub(crate) fn default_branch(&self, directory: &Path) -> Result<Option<String>, GitError> {
        let action = "the default branch of the config repository cannot be read";
        let git = self.git(action, directory, self.options.timeout);
        let arguments = ["ls-remote", "--symref", "--", &self.options.url, "HEAD"];
        let listing = self.over_connection(|| git.check(&arguments))?;
        Ok(listing.lines().find_map(|line| {
            let name = line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD")?;
            Some(name.to_owned())
        }))
    }

    /// Brings the local branch and notes to where the remote's are, also when that is no
    /// fast-forward. Removes notes that the remote lacks, and both when it has no commits any more.
    pub(crate) fn fetch(&self, store: &ObjectStore, branch: &str) -> Result<(), GitError> {
        let reference = &reference(branch);
        let fetched = self.over_connection(|| {
            if self.is_http() {
                let branch = format!("+{reference}:{reference}");
                self.fetch_with_porcelain(store.path(), &[&branch, SOME_NOTES], self.options.timeout)
            } else {
                self.fetch_with_plumbing(store, reference)
            }
        });
        match fetched {
            // A repository that has no commits yet has no branch to fetch.
            Err(GitError::Remote { reason, .. })
                if is_missing_branch(&reason) && self.default_branch(store.path())?.is_none() =>
            {
                store.remove_tip(reference)?;
                store.remove_tip(NOTES)
            }
            result => result,
        }
    }

    fn is_http(&self) -> bool {
        self.fetch_url.starts_with("http://") || self.fetch_url.starts_with("https://")
    }

    /// `git fetch-pack` starts three processes less than `git fetch`, which checks
    /// again that nothing is missing: a third of the time. It knows no http.
    fn fetch_with_plumbing(&self, store: &ObjectStore, reference: &str) -> Result<(), GitError> {
        let git = self.git(CANNOT_FETCH, store.path(), self.options.timeout);
        let output = git.run(&[
            "-c",
            // Otherwise the pack is marked as one that must never be repacked.
            "fetch.unpackLimit=0",
            "fetch-pack",
            "--quiet",
            "--no-progress",
            "--thin",
            // One pack: a year of loose objects would slow every look-up down.
            "--keep",
            &self.fetch_url,
            reference,
            NOTES,
        ])?;
        // What the remote has is listed after all went well; the status is that of the rest.
        let Some(tip) = listed(&output.stdout, reference) else {
            return Err(GitError::Remote { action: CANNOT_FETCH, reason: explain(&output.stderr) });
        };
        store.set_tip(reference, tip)?;
        match listed(&output.stdout, NOTES) {
            Some(notes) => store.set_tip(NOTES, notes),
            None => store.remove_tip(NOTES),
        }
    }

    /// Brings the notes that the remote has at the time of a clone, which may be as many as commits.
    pub(crate) fn fetch_first_notes(&self, directory: &Path) -> Result<(), GitError> {
        let timeout = self.options.timeout * CLONE_TIMEOUTS;
        self.over_connection(|| self.fetch_with_porcelain(directory, &[SOME_NOTES], timeout))
    }

    fn fetch_with_porcelain(
        &self,
        directory: &Path,
        refspecs: &[&str],
        timeout: Duration,
    ) -> Result<(), GitError> {
        let mut arguments = vec!["-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--no-tags", "--prune"];
        arguments.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--", &self.options.url]);
        arguments.extend(refspecs);
        self.git(CANNOT_FETCH, directory, timeout).check(&arguments).map(|_| ())
    }

    /// As [`Remote::push`], for a pack of all that is new; `None` when only `git push` can.
    /// Returns as soon as the references have moved: what the remote does after that,
    /// such as telling others, goes on until the next push.
    pub(crate) fn push_pack(
        &self,
        directory: &Path,
        updates: &[Update],
        pack: &[u8],
    ) -> Option<Result<Vec<Pushed>, GitError>> {
        let receiver = self.receiver.as_ref()?;
        self.finish_push();
        let git = self.git(CANNOT_PUSH, directory, self.options.timeout);
        let result = self.over_connection(|| receiver.push(&git, updates, pack));
        Some(result.map(|(pushed, running)| {
            let finishing = std::thread::spawn(move || running.finish());
            *self.finishing.lock().expect("no panic while held") = Some(finishing);
            pushed
        }))
    }

    /// Waits until the remote has done all that it does for the last push.
    pub(crate) fn finish_push(&self) {
        let finishing = self.finishing.lock().expect("no panic while held").take();
        if let Some(thread) = finishing {
            let _ = thread.join();
        }
    }

    /// Moves each reference of the remote that is where it has to be, and tells of each.
    pub(crate) fn push(&self, directory: &Path, updates: &[Update]) -> Result<Vec<Pushed>, GitError> {
        // An empty expectation means that the reference must not exist.
        let lease = |update: &Update| {
            let expected = update.old.map(|old| old.to_string()).unwrap_or_default();
            format!("--force-with-lease={}:{expected}", update.reference)
        };
        let leases: Vec<String> = updates.iter().map(lease).collect();
        let refspecs: Vec<String> =
            updates.iter().map(|update| format!("{}:{}", update.new, update.reference)).collect();
        let mut arguments = vec!["push", "--porcelain", "--no-verify"];
        arguments.extend(leases.iter().map(String::as_str));
        arguments.extend(["--", &self.options.url]);
        arguments.extend(refspecs.iter().map(String::as_str));
        let git = self.git(CANNOT_PUSH, directory, self.options.timeout);
        self.over_connection(|| pushed(&git.run(&arguments)?, updates))
    }

    fn git<'a>(&'a self, action: &'static str, directory: &'a Path, timeout: Duration) -> Git<'a> {
        Git { action, directory, timeout, environment: &self.environment }
    }
}

/// What the answer to a push means for each reference.
fn pushed(output: &Output, updates: &[Update]) -> Result<Vec<Pushed>, GitError> {
    let told = updates.iter().map(|update| match refusal(&output.stdout, &update.reference) {
        Some(refusal) => Some(Pushed::Refused(with_what_was_said(refusal, &output.stderr))),
        None => is_moved(output, &update.reference).then_some(Pushed::Accepted),
    });
    let unknown = || GitError::Remote { action: CANNOT_PUSH, reason: explain(&output.stderr) };
    told.collect::<Option<_>>().ok_or_else(unknown)
}

fn with_what_was_said(refusal: String, stderr: &str) -> String {
    let details = complaint(&remote_lines(stderr));
    let is_silent = details == complaint("");
    if is_silent { refusal } else { format!("{refusal}: {details}") }
}

/// Without any refusal the status tells it; with one of another reference, its line does.
fn is_moved(output: &Output, reference: &str) -> bool {
    let is_of = |line: &str| !line.starts_with('!') && destination(line) == Some(reference);
    output.status.success() || output.stdout.lines().any(is_of)
}

/// Where `git fetch-pack` says that a reference of the remote is.
fn listed(stdout: &str, reference: &str) -> Option<ObjectId> {
    stdout.lines().find_map(|line| line.strip_suffix(reference)?.strip_suffix(' ')?.parse().ok())
}

/// As `git fetch` and `git fetch-pack` say it.
fn is_missing_branch(reason: &str) -> bool {
    reason.contains("remote ref") || reason.contains("no matching remote head")
}

/// The `<to>` in a line `<flag>\t<from>:<to>\t<summary>` of `git push --porcelain`.
fn destination(line: &str) -> Option<&str> {
    line.split('\t').nth(1)?.split_once(':').map(|(_, to)| to)
}

/// The reason in the line `!\t<from>:<to>\t[rejected] (reason)` of `git push --porcelain`.
fn refusal(porcelain: &str, reference: &str) -> Option<String> {
    let is_refused = |line: &&str| line.starts_with('!') && destination(line) == Some(reference);
    let summary = porcelain.lines().find(is_refused)?.split('\t').nth(2)?;
    let reason = summary.split_once('(').map_or(summary, |(_, rest)| rest.trim_end_matches(')'));
    Some(reason.to_owned())
}

/// What the remote's hooks said.
fn remote_lines(stderr: &str) -> String {
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("remote: ")).collect();
    lines.join("\n")
}

fn environment(
    credentials: &Credentials,
    url: &str,
    connection: Option<&Connection>,
) -> Vec<(String, String)> {
    let mut environment = vec![
        ("GIT_ALLOW_PROTOCOL".to_owned(), "file:ssh:https:http:git".to_owned()),
        ("GIT_SSH_COMMAND".to_owned(), ssh::command(credentials, connection)),
    ];
    if let Some(token) = &credentials.https_token {
        // Through the environment, never as an argument: other users can read arguments.
        // No other helper sees the token, and no other host.
        let helper = "!f() { echo username=x-access-token; echo \"password=$RELEASE_GIT_TOKEN\"; }; f";
        let host = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        environment.extend(
            [
                ("RELEASE_GIT_TOKEN", token.as_str()),
                ("GIT_CONFIG_COUNT", "2"),
                ("GIT_CONFIG_KEY_0", "credential.helper"),
                ("GIT_CONFIG_VALUE_0", ""),
                ("GIT_CONFIG_KEY_1", &format!("credential.{host}.helper")),
                ("GIT_CONFIG_VALUE_1", helper),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
    }
    environment
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_fails_over_a_connection_that_was_open_is_tried_once_more_on_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let options = RemoteOptions {
            url: "ssh://git.example.com/config.git".into(),
            credentials: Credentials::default(),
            timeout: Duration::from_mins(1),
        };
        let remote = Remote::new(options, directory.path());
        let broken = || GitError::Remote { action: "", reason: "broken".into() };
        let runs = Cell::new(0);
        let tries_until = |good: usize| {
            runs.set(0);
            let result = remote.over_connection(|| {
                runs.set(runs.get() + 1);
                if runs.get() < good { Err(broken()) } else { Ok(()) }
            });
            (runs.get(), result.is_ok())
        };
        assert_eq!(tries_until(2), (1, false), "no connection was open");
        let socket = directory.path().join("connection");
        std::fs::write(&socket, "").unwrap();
        assert_eq!(tries_until(2), (2, true));
        assert!(!socket.exists());
        std::fs::write(&socket, "").unwrap();
        assert_eq!(tries_until(3), (2, false));
    }

    #[test]
    fn refusals_are_read_from_the_porcelain_output() {
        let refusal = |porcelain: &str| refusal(porcelain, "refs/heads/main");
        let stale = "To /x\n!\tabc:refs/heads/main\t[rejected] (stale info)\nDone\n";
        assert_eq!(refusal(stale).as_deref(), Some("stale info"));
        let hook = "To /x\n!\tabc:refs/heads/main\t[remote rejected] (pre-receive hook declined)\nDone\n";
        assert_eq!(refusal(hook).as_deref(), Some("pre-receive hook declined"));
        assert_eq!(refusal("To /x\n*\tabc:refs/heads/main\t[new branch]\nDone\n"), None);
        assert_eq!(refusal("To /x\n!\tabc:refs/notes/x\t[rejected] (stale info)\nDone\n"), None);
        assert_eq!(refusal(""), None);
    }

    #[test]
    fn a_token_is_in_no_argument_and_in_no_debug_output() {
        let credentials = Credentials { https_token: Some("s3cret".into()), ..Credentials::default() };
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let options = RemoteOptions {
            url: "https://user:s3cret@git.example.com/config.git".into(),
            credentials,
            timeout: Duration::from_secs(1),
        };
        let shown = |url: &str| {
            let options = RemoteOptions { url: url.into(), ..options.clone() };
            Remote::new(options, Path::new("/no/connection")).display_url()
        };
        assert_eq!(shown(&options.url), "https://git.example.com/config.git");
        assert_eq!(shown("https://s3cret@git.example.com/config.git"), "https://git.example.com/config.git");
        assert_eq!(shown("ssh://git@git.example.com/config.git"), "ssh://git@git.example.com/config.git");
    }
}
