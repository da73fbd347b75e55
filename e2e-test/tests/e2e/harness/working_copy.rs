//! A clone with files, as other people and programs have it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use release_testing::origin::Origin;
use tempfile::TempDir;

use super::Files;

pub(crate) struct WorkingCopy {
    directory: TempDir,
}

impl WorkingCopy {
    pub(crate) fn of(origin: &Origin) -> Self {
        let copy = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        copy.git(&["clone", "--quiet", &origin.url(), "."]);
        copy
    }

    /// The files below a directory; none when there is no such directory.
    pub(crate) fn files(&self, directory: &str) -> Files {
        let mut files = Files::new();
        let root = self.directory.path().join(directory);
        if root.exists() {
            collect(&root, &root, &mut files);
        }
        files
    }

    /// Panics unless git is happy.
    pub(crate) fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        let output = command.args(arguments).current_dir(self.directory.path()).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn collect(root: &Path, directory: &Path, files: &mut Files) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path: PathBuf = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("its metadata");
        if metadata.is_dir() {
            collect(root, &path, files);
            continue;
        }
        assert!(metadata.is_file(), "{} is special", path.display());
        let name = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8").to_owned();
        let executable = metadata.permissions().mode() & 0o100 != 0;
        files.insert(name, (executable, fs::read(&path).expect("a file")));
    }
}
