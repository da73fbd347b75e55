//! Artifact storage: one zip for each build, under the key `<service>/<artifact-id>`.
//!
//! A zip is hostile until [every entry was looked at](ArchiveError); nothing in
//! this crate ever unpacks one to a disk.

mod archive;
mod cache;
mod checksum;
mod directory;
mod entry;
mod pack;
mod s3;
mod upload;

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use release_core::{Name, Spec};
use url::Url;

pub use archive::ArchiveError;
pub use checksum::{Checksum, ChecksumError};
pub use directory::DirectoryStore;
pub use entry::EntryProblem;
pub use pack::{PackError, Packed, pack};
pub use s3::{
    BucketName, BucketNameError, HandOver, Notifications, S3Error, S3Options, S3Store, StoredArtifact,
};
pub use upload::{UPLOAD_URL_LIFETIME, UploadError, UploadQuery};

/// About this many bytes of specs are kept in memory.
const MAX_SUMMARY_BYTES: u64 = 32 << 20;

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the service's directory, with `/` between its parts.
    pub path: String,
    pub contents: Bytes,
    pub executable: bool,
}

/// What an artifact is, without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub spec: Spec,
    /// Sorted by name.
    pub environments: Vec<Name>,
}

/// How much one artifact may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and directories.
    pub max_files: usize,
    pub max_unpacked_bytes: u64,
    pub max_zip_bytes: u64,
}

impl Default for Limits {
    /// Some hundred times what an artifact of manifests holds in practice.
    fn default() -> Self {
        Self { max_files: 5_000, max_unpacked_bytes: 100 << 20, max_zip_bytes: 50 << 20 }
    }
}

/// Where artifacts live.
pub trait Storage: Send + Sync + 'static {
    /// A URL that takes one PUT of the zip with this `Content-MD5`, for
    /// [`UPLOAD_URL_LIFETIME`].
    fn upload_url<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        md5: Checksum,
    ) -> BoxFuture<'a, Result<Url, StorageError>>;

    fn summary<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
    ) -> BoxFuture<'a, Result<Arc<Summary>, StorageError>>;

    /// The environment's directory of the zip and `artifact.json`, byte for byte, sorted by path.
    fn files<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        environment: &'a Name,
    ) -> BoxFuture<'a, Result<Vec<File>, StorageError>>;

    /// The newest artifacts by the time they were stored, newest first, of all
    /// branches or of one. Empty for a service that is not known. An artifact
    /// that cannot be used is left out.
    fn newest<'a>(
        &'a self,
        service: &'a Name,
        branch: Option<&'a str>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Summary>>, StorageError>>;

    /// The ids of a service's artifacts, in no order.
    fn ids<'a>(&'a self, service: &'a Name) -> BoxFuture<'a, Result<Vec<Name>, StorageError>>;

    /// The services that have artifacts, in no order.
    fn services(&self) -> BoxFuture<'_, Result<Vec<Name>, StorageError>>;

    /// Whether artifacts can be read and written now.
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// Why the storage cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("service '{service}' has no artifact '{artifact_id}'")]
    NotFound { service: Name, artifact_id: Name },
    #[error("artifact '{artifact_id}' has no environment '{environment}'; {}", existing_text(existing))]
    UnknownEnvironment { artifact_id: Name, environment: Name, existing: Vec<Name> },
    /// Trying again cannot help; the artifact must be built again.
    #[error("artifact '{artifact_id}' of service '{service}' cannot be used: {problem}")]
    BadArtifact { service: Name, artifact_id: Name, problem: ArchiveError },
    /// The backend is away or the disk is full or broken; trying again may help.
    #[error("the artifact storage cannot {action}")]
    Unavailable { action: &'static str, source: io::Error },
}

fn unavailable(action: &'static str) -> impl Fn(io::Error) -> StorageError {
    move |source| StorageError::Unavailable { action, source }
}

fn existing_text(environments: &[Name]) -> String {
    if environments.is_empty() {
        return "it has none at all".to_owned();
    }
    let names: Vec<_> = environments.iter().map(Name::as_str).collect();
    format!("it has {}", names.join(", "))
}
