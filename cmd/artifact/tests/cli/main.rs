//! The `artifact` program as CI calls it: a process without an environment.

mod help;
mod login;
mod push;
mod slack;
mod steps;

use std::{path::Path, process::Output};

use assert_cmd::Command;
use release_core::Spec;
use tempfile::TempDir;

/// The root directory of one CI job.
struct Job {
    root: TempDir,
}

impl Job {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// After `artifact init`.
    fn started() -> Self {
        let job = Self::new();
        let output = job.output(&INIT);
        assert!(output.status.success(), "{}", report(&output));
        job
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("artifact"));
        command.env_clear().current_dir(self.root.path()).args(args);
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run(&self, args: &[&str]) -> String {
        report(&self.output(args))
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn spec(&self) -> Spec {
        read_spec(&self.path("artifact.json"))
    }

    fn write(&self, path: &str, contents: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
}

const INIT: [&str; 19] = [
    "init",
    "--artifact-id",
    "master-1-2",
    "--service",
    "svc",
    "--git-branch",
    "master",
    "--git-sha",
    "0017d995e32e",
    "--git-message",
    "Fix login",
    "--git-author-name",
    "Jane",
    "--git-author-email",
    "jane@example.com",
    "--git-committer-name",
    "John",
    "--git-committer-email",
    "john@example.com",
];

fn read_spec(path: &Path) -> Spec {
    Spec::from_json(&std::fs::read(path).unwrap()).unwrap()
}

/// Exit code and both streams.
fn report(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut report = format!("exit: {}\n", output.status.code().unwrap());
    for (stream, text) in [("stdout", text(&output.stdout)), ("stderr", text(&output.stderr))] {
        if !text.is_empty() {
            report.push_str(stream);
            report.push_str(":\n");
            report.push_str(&text);
        }
    }
    report
}
