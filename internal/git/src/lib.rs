//! The config repository: a disposable bare copy of a remote git repository,
//! immutable [`Snapshot`]s for readers, and one [`Writer`] that commits
//! [`Change`]s in groups and pushes them.
//!
//! The remote is the truth. Nothing counts as written before a push was
//! accepted, and the local copy can be deleted at any time: it is cloned again.
//! This is the only crate that names libgit2 or runs `git`.

mod draft;
mod failure;
mod health;
mod history;
mod maintenance;
mod note;
mod object;
mod pack;
mod process;
mod receive_pack;
mod remote;
mod repository;
mod signing;
mod snapshot;
mod ssh;
mod store;
mod tree;
mod writer;

pub use draft::{Edit, File, Operation};
pub use note::{Note, NotePlanner, Noted};
pub use object::ObjectId;
pub use remote::{Credentials, RemoteOptions};
pub use repository::{ConfigRepository, Options};
pub use signing::SigningOptions;
pub use snapshot::{Entry, EntryKind, ReleaseCommit, Snapshot, Tree};
pub use writer::{Announced, Change, Outcome, Plan, PlanError, Planner, WriteError, Writer};

/// Why the config repository cannot be read, or its remote cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the git program cannot be run; install git and put it on the PATH")]
    Program(#[source] std::io::Error),
    /// The remote answered with an error or not at all. `reason` is what git printed.
    #[error("{action}: {reason}")]
    Remote { action: &'static str, reason: String },
    #[error("{action}: no answer within {seconds} s")]
    Timeout { action: &'static str, seconds: u64 },
    #[error("the local copy of the config repository cannot be read")]
    Object(#[from] git2::Error),
    #[error("the local copy of the config repository holds a broken {0}")]
    Broken(&'static str),
    #[error("the local copy of the config repository cannot be written at {path}")]
    Io { path: String, source: std::io::Error },
}

impl GitError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }

    /// Whether the remote is to blame, so that waiting may help.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Remote { .. } | Self::Timeout { .. })
    }
}
