//! A real bare git repository that plays the remote of the config repository.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub const BRANCH: &str = "main";

/// Lives as long as the value. Panics on every failure: it is for tests.
pub struct Origin {
    directory: TempDir,
}

impl Origin {
    /// Without any commit.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let origin = Self { directory };
        run(Command::new("git").args(["init", "--quiet", "--bare", "-b", BRANCH]).arg(origin.path()));
        origin
    }

    /// With one commit of a README, as every config repository begins.
    pub fn new() -> Self {
        let origin = Self::empty();
        origin.commit("first commit", &[("README.md", "# Config\n")]);
        origin
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("config.git")
    }

    /// A `file://` URL: git treats it as a remote, not as a directory to share objects with.
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Commits files as somebody else would, on top of what is there; returns the commit id.
    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        self.commit_on(BRANCH, message, files)
    }

    /// [`Origin::commit`] at another time, in seconds since 1970.
    pub fn commit_at(&self, time: i64, message: &str, files: &[(&str, &str)]) -> String {
        while !commit_in(&self.path(), BRANCH, &time.to_string(), message, files) {}
        self.head()
    }

    pub fn commit_on(&self, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        // Fails when somebody else was faster.
        while !commit_in(&self.path(), branch, NOW, message, files) {}
        self.head_of(branch)
    }

    /// The id of the newest commit.
    pub fn head(&self) -> String {
        self.head_of(BRANCH)
    }

    fn head_of(&self, branch: &str) -> String {
        self.git(&["rev-parse", &format!("refs/heads/{branch}")])
    }

    /// The output of a git command in the repository, without the line break at its end.
    pub fn git(&self, arguments: &[&str]) -> String {
        try_git(&self.path(), arguments).unwrap_or_else(|| panic!("git {arguments:?} failed"))
    }

    /// The contents of a file in the newest commit.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let output = Command::new("git")
            .args(["cat-file", "blob", &format!("{BRANCH}:{path}")])
            .current_dir(self.path())
            .output()
            .expect("git runs");
        output.status.success().then_some(output.stdout)
    }

    /// `mode path` of every file below a directory in the newest commit, sorted.
    /// An empty path is the whole repository.
    pub fn files(&self, directory: &str) -> Vec<String> {
        let directory = if directory.is_empty() { "." } else { directory };
        let listing = self.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", BRANCH, "--", directory]);
        listing.lines().map(str::to_owned).collect()
    }

    /// The titles of all commits, newest first.
    pub fn titles(&self) -> Vec<String> {
        self.git(&["log", "--format=%s", BRANCH]).lines().map(str::to_owned).collect()
    }

    /// Panics unless the repository is whole and without anything that git warns of.
    pub fn assert_clean(&self) {
        let output = Command::new("git")
            .args(["fsck", "--strict", "--full", "--no-dangling", "--no-progress"])
            .current_dir(self.path())
            .output()
            .expect("git runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }

    /// Panics unless the commit has a good signature, by git with this in its environment.
    pub fn verify_commit(&self, commit: &str, environment: &[(&str, &str)]) {
        let output = Command::new("git")
            .args(["verify-commit", commit])
            .envs(environment.iter().copied())
            .current_dir(self.path())
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{commit}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Installs a hook, a shell script without its first line.
    pub fn set_hook(&self, name: &str, script: &str) {
        let path = self.hook(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the hook is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the hook is executable");
    }

    pub fn remove_hook(&self, name: &str) {
        fs::remove_file(self.hook(name)).expect("the hook is there");
    }

    fn hook(&self, name: &str) -> PathBuf {
        let hooks = self.path().join("hooks");
        fs::create_dir_all(&hooks).expect("the directory of hooks");
        hooks.join(name)
    }

    /// Makes the remote unreachable until [`Origin::come_back`].
    pub fn go_away(&self) {
        fs::rename(self.path(), self.away()).expect("the repository is there");
    }

    pub fn come_back(&self) {
        fs::rename(self.away(), self.path()).expect("the repository is away");
    }

    fn away(&self) -> PathBuf {
        self.directory.path().join("away.git")
    }

    /// Where a test may keep what belongs to this origin.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self::new()
    }
}

/// Somebody else's clone of an [`Origin`].
pub struct OtherClone {
    directory: TempDir,
}

impl OtherClone {
    pub fn of(origin: &Origin) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clone = ["clone", "--quiet", "--bare", &origin.url(), "."];
        run(Command::new("git").args(clone).current_dir(directory.path()));
        Self { directory }
    }

    /// Commits files on top of what the origin has, and pushes; again when somebody else was faster.
    pub fn push(&self, message: &str, files: &[(&str, &str)]) {
        let branch = format!("refs/heads/{BRANCH}");
        let fetch = ["fetch", "--quiet", "origin", &format!("+{branch}:{branch}")];
        let push = ["push", "--quiet", "origin", &branch];
        loop {
            try_git(self.directory.path(), &fetch).expect("the origin is there");
            assert!(
                commit_in(self.directory.path(), BRANCH, NOW, message, files),
                "nobody else commits here"
            );
            if try_git(self.directory.path(), &push).is_some() {
                return;
            }
        }
    }
}

const NOW: &str = "now";

/// Commits files on top of a repository's branch; `false` when the branch moved meanwhile.
fn commit_in(repository: &Path, branch: &str, time: &str, message: &str, files: &[(&str, &str)]) -> bool {
    let (format, time) = if time == NOW { ("now", NOW.to_owned()) } else { ("raw", format!("{time} +0000")) };
    let parent = try_git(repository, &["rev-parse", "--quiet", "--verify", &format!("refs/heads/{branch}")]);
    let mut stream = format!(
        "commit refs/heads/{branch}\ncommitter Other <other@example.com> {time}\ndata {}\n{message}\n",
        message.len()
    );
    if let Some(parent) = &parent {
        let _ = writeln!(stream, "from {parent}");
    }
    for (path, contents) in files {
        let _ = write!(stream, "M 100644 inline {path}\ndata {}\n{contents}\n", contents.len());
    }
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet", &format!("--date-format={format}")])
        .current_dir(repository)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git fast-import");
    child.stdin.take().expect("piped").write_all(stream.as_bytes()).expect("git reads");
    child.wait().expect("git ends").success()
}

fn try_git(repository: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(repository).output().expect("git runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn run(command: &mut Command) {
    let status = command.status().expect("git is installed");
    assert!(status.success(), "{command:?}");
}
