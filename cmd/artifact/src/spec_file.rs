//! `artifact.json` on the disk of a CI job that may be killed at any moment.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use release_core::{Spec, artifact::SpecError};
use release_terminal::CliError;

use crate::cli::Location;

pub(crate) struct SpecFile {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecFileError {
    #[error("there is no '{}'", .0.display())]
    Missing(PathBuf),
    #[error("'{}' cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("'{}' is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, problem: SpecError },
    #[error("'{}' cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl SpecFile {
    pub(crate) fn new(location: &Location) -> Self {
        Self { path: location.root.join(&location.file) }
    }

    pub(crate) fn read(&self) -> Result<Spec, SpecFileError> {
        let json = fs::read(&self.path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SpecFileError::Missing(self.path.clone()),
            _ => SpecFileError::Read { path: self.path.clone(), source },
        })?;
        Spec::from_json(&json).map_err(|problem| SpecFileError::Damaged { path: self.path.clone(), problem })
    }

    /// Replaces whatever is there.
    pub(crate) fn create(&self, spec: &Spec) -> Result<(), SpecFileError> {
        let _lock = self.lock()?;
        self.write(spec)
    }

    /// Reads, changes and replaces the file; stages that run side by side wait for each other.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Spec)) -> Result<Spec, SpecFileError> {
        let _lock = self.lock()?;
        let mut spec = self.read()?;
        change(&mut spec);
        self.write(&spec)?;
        Ok(spec)
    }

    /// The directory is the lock, so no lock file ends up in the artifact.
    fn lock(&self) -> Result<fs::File, SpecFileError> {
        let lock = || {
            let directory = fs::File::open(self.directory())?;
            directory.lock()?;
            Ok(directory)
        };
        lock().map_err(|source| self.cannot_write(source))
    }

    /// At each moment the file is the old or the new one, as a whole.
    fn write(&self, spec: &Spec) -> Result<(), SpecFileError> {
        let replace = || {
            // Always the same name: what a killed step leaves behind, the next one overwrites.
            let new = self.path.with_file_name(self.new_file_name());
            let mut file = fs::File::create(&new)?;
            file.write_all(spec.to_json().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            fs::File::open(self.directory())?.sync_all()
        };
        replace().map_err(|source| self.cannot_write(source))
    }

    fn new_file_name(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".new");
        name
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    fn cannot_write(&self, source: io::Error) -> SpecFileError {
        SpecFileError::Write { path: self.path.clone(), source }
    }
}

impl From<SpecFileError> for CliError {
    fn from(error: SpecFileError) -> Self {
        let cli_error = Self::from_chain(&error);
        match error {
            SpecFileError::Missing(_) => {
                cli_error.hint("run `artifact init` first, or name the right directory with --root")
            }
            SpecFileError::Damaged { .. } => cli_error.hint("run `artifact init` again"),
            SpecFileError::Read { .. } | SpecFileError::Write { .. } => cli_error,
        }
    }
}
