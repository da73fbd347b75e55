//! Kills the server at a chosen step of a push.
//!
//! The server finds a `git` of ours first, and the remote has hooks of ours. Both look whether
//! the trap for their step is set, and the first one that takes it away kills the server.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use release_testing::origin::Origin;
use tempfile::TempDir;

use crate::harness::Server;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// The commits are made, and nothing is sent.
    BeforePush,
    /// The remote has the objects, and no branch has moved.
    DuringPush,
    /// The remote's branch has moved, and the push has not ended.
    AfterUpdate,
    /// The push has ended, and the server does not know.
    AfterPush,
}

impl Step {
    pub(crate) const ALL: [Self; 4] =
        [Self::BeforePush, Self::DuringPush, Self::AfterUpdate, Self::AfterPush];
}

pub(crate) struct Traps {
    directory: TempDir,
}

impl Traps {
    pub(crate) fn new(origin: &Origin) -> Self {
        let traps = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir(traps.programs()).expect("a directory");
        let directory = traps.directory.path().display();
        traps.script("spring", &format!(
            "mv \"{directory}/$1\" \"{directory}/sprung\" 2>/dev/null && kill -9 \"$(cat {directory}/pid)\"\ntrue"
        ));
        let spring = |step: Step| format!("{directory}/programs/spring {step:?}");
        traps.script(
            "git",
            &format!(
                "[ \"$1\" = receive-pack ] || exec {git} \"$@\"\n{}\n{git} \"$@\"\nstatus=$?\n{}\nexit $status",
                spring(Step::BeforePush),
                spring(Step::AfterPush),
                git = real_git().display(),
            ),
        );
        origin.set_hook("pre-receive", &spring(Step::DuringPush));
        origin.set_hook("post-receive", &spring(Step::AfterUpdate));
        traps
    }

    /// Goes before everything else in the server's PATH.
    pub(crate) fn programs(&self) -> PathBuf {
        self.directory.path().join("programs")
    }

    /// Names the victim.
    pub(crate) fn are_for(&self, server: &Server) {
        symlink(server.pid_file(), self.directory.path().join("pid")).expect("a link");
    }

    /// The server will be killed when it comes to this step.
    pub(crate) fn set(&self, step: Step) {
        fs::write(self.directory.path().join(format!("{step:?}")), "").expect("a file");
    }

    fn script(&self, name: &str, script: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
}

fn real_git() -> PathBuf {
    let path = env::var_os("PATH").expect("a PATH");
    let mut candidates = env::split_paths(&path).map(|directory: PathBuf| directory.join("git"));
    candidates.find(|candidate: &PathBuf| Path::exists(candidate)).expect("git is installed")
}
