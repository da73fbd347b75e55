//! Artifacts as files: `<directory>/artifacts/<service>/<artifact-id>`.

mod key;
mod receive;
mod stamp;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    fs,
    io::{self, Cursor, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use chrono::Utc;
use futures::future::BoxFuture;
use release_core::{Name, artifact::id_prefix_of_branch};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    Checksum, File, Limits, MAX_SUMMARY_BYTES, Storage, StorageError, Summary,
    archive::{Archive, ArchiveError, archive_error},
    cache::Cache,
    unavailable,
    upload::Signer,
};
use stamp::Stamp;

/// How many zips are read or checked at once; others wait. Bounds the memory of
/// hundreds of releases that come together.
const MAX_OPEN_ZIPS: usize = 4;

/// The storage without other services: a directory, and upload URLs that the
/// server itself serves with [`DirectoryStore::receive`]. Cheap to clone.
///
/// Beside `artifacts/` the directory has `uploads/`, for what is not complete,
/// and `signing-key`. One server at a time may use it.
#[derive(Clone)]
pub struct DirectoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    artifacts: PathBuf,
    uploads: PathBuf,
    limits: Limits,
    signer: Signer,
    cache: Cache<Stamp, Arc<Summary>>,
    turns: Arc<Semaphore>,
}

impl DirectoryStore {
    /// Opens or creates the store in `directory`. Upload URLs start with
    /// `base_url`, where clients reach the server. Removes what uploads left
    /// behind that a crash cut off. Blocks for a moment.
    pub fn open(directory: &Path, base_url: Url, limits: Limits) -> Result<Self, StorageError> {
        let artifacts = directory.join("artifacts");
        let uploads = directory.join("uploads");
        fs::create_dir_all(&artifacts).map_err(unavailable("create its directory"))?;
        fs::create_dir_all(&uploads).map_err(unavailable("create its directory"))?;
        remove_leftovers(&uploads).map_err(unavailable("remove incomplete uploads"))?;
        let key = key::load_or_create(directory).map_err(unavailable("read or create its signing key"))?;
        let signer = Signer::new(base_url, key);
        let inner = Inner {
            artifacts,
            uploads,
            limits,
            signer,
            cache: Cache::new(MAX_SUMMARY_BYTES),
            turns: Arc::new(Semaphore::new(MAX_OPEN_ZIPS)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs blocking work when it is its turn.
    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> T {
        let turn = self.inner.turns.clone().acquire_owned().await.expect("the semaphore is never closed");
        // The work goes on when nobody waits for it any more, and so does its turn.
        self.blocking(move |inner| {
            let _turn = turn;
            work(inner)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> T {
        let inner = self.inner.clone();
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Storage for DirectoryStore {
    fn upload_url<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        md5: Checksum,
    ) -> BoxFuture<'a, Result<Url, StorageError>> {
        let url = self.inner.signer.url(service, artifact_id, md5, Utc::now());
        Box::pin(std::future::ready(Ok(url)))
    }

    fn summary<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
    ) -> BoxFuture<'a, Result<Arc<Summary>, StorageError>> {
        // One look at a file takes less time than handing it to another thread.
        if let Some(summary) = self.inner.cached_summary(service, artifact_id) {
            return Box::pin(std::future::ready(Ok(summary)));
        }
        let key = (service.clone(), artifact_id.clone());
        Box::pin(self.in_turn(move |inner| inner.summary(&key.0, &key.1)))
    }

    fn files<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        environment: &'a Name,
    ) -> BoxFuture<'a, Result<Vec<File>, StorageError>> {
        let (service, artifact_id, environment) = (service.clone(), artifact_id.clone(), environment.clone());
        Box::pin(self.in_turn(move |inner| inner.files(&service, artifact_id, environment)))
    }

    fn newest<'a>(
        &'a self,
        service: &'a Name,
        branch: Option<&'a str>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Summary>>, StorageError>> {
        let (service, branch) = (service.clone(), branch.map(str::to_owned));
        Box::pin(self.in_turn(move |inner| inner.newest(&service, branch.as_deref(), count)))
    }

    fn ids<'a>(&'a self, service: &'a Name) -> BoxFuture<'a, Result<Vec<Name>, StorageError>> {
        let service = service.clone();
        Box::pin(self.blocking(move |inner| names_in(&inner.artifacts.join(service.as_str()))))
    }

    fn services(&self) -> BoxFuture<'_, Result<Vec<Name>, StorageError>> {
        Box::pin(self.blocking(|inner| names_in(&inner.artifacts)))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.blocking(|inner| {
            fs::read_dir(&inner.artifacts).map_err(unavailable("list artifacts"))?;
            tempfile::NamedTempFile::new_in(&inner.uploads).map_err(unavailable("write to its directory"))?;
            Ok(())
        }))
    }
}

impl Inner {
    fn path(&self, service: &Name, artifact_id: &Name) -> PathBuf {
        self.artifacts.join(service.as_str()).join(artifact_id.as_str())
    }

    fn cached_summary(&self, service: &Name, artifact_id: &Name) -> Option<Arc<Summary>> {
        let stamp = Stamp::of(&fs::metadata(self.path(service, artifact_id)).ok()?).ok()?;
        self.cache.get(service, artifact_id, &stamp)
    }

    fn summary(&self, service: &Name, artifact_id: &Name) -> Result<Arc<Summary>, StorageError> {
        let file = self.open_zip(service, artifact_id)?;
        let stamp = Stamp::of(&file.metadata().map_err(unavailable("read an artifact"))?)
            .map_err(unavailable("read an artifact"))?;
        if let Some(summary) = self.cache.get(service, artifact_id, &stamp) {
            return Ok(summary);
        }
        let summary = self
            .archive(file)
            .and_then(|mut archive| archive.summary())
            .map_err(|problem| archive_error(service, artifact_id, problem))?;
        let bytes = summary.spec.to_json().len();
        let summary = Arc::new(summary);
        self.cache.insert(service, artifact_id, stamp, summary.clone(), bytes);
        Ok(summary)
    }

    fn files(&self, service: &Name, artifact_id: Name, environment: Name) -> Result<Vec<File>, StorageError> {
        let file = self.open_zip(service, &artifact_id)?;
        let bad = |problem| archive_error(service, &artifact_id, problem);
        let mut archive = self.archive(file).map_err(bad)?;
        archive.files(&environment).map_err(bad)?.ok_or_else(|| StorageError::UnknownEnvironment {
            existing: archive.environments(),
            artifact_id,
            environment,
        })
    }

    /// Reads all of the zip first: its reader jumps to and fro for every entry.
    fn archive(&self, file: fs::File) -> Result<Archive<Cursor<Vec<u8>>>, ArchiveError> {
        let limit = self.limits.max_zip_bytes;
        let mut zip = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut zip).map_err(ArchiveError::Io)?;
        if zip.len() as u64 > limit {
            return Err(ArchiveError::ZipTooBig(limit));
        }
        Archive::open(Cursor::new(zip), self.limits)
    }

    fn newest(
        &self,
        service: &Name,
        branch: Option<&str>,
        count: usize,
    ) -> Result<Vec<Arc<Summary>>, StorageError> {
        let prefix = branch.map(id_prefix_of_branch).unwrap_or_default();
        let mut newest = Vec::new();
        for id in self.ids_newest_first(service, &prefix)? {
            if newest.len() == count {
                break;
            }
            match self.summary(service, &id) {
                Ok(summary) if branch.is_none_or(|branch| summary.spec.application.branch == branch) => {
                    newest.push(summary);
                }
                Ok(_) | Err(StorageError::NotFound { .. }) => {}
                Err(error @ StorageError::BadArtifact { .. }) => {
                    tracing::warn!(%error, "left an artifact out of a listing");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    fn ids_newest_first(&self, service: &Name, prefix: &str) -> Result<Vec<Name>, StorageError> {
        let directory = self.artifacts.join(service.as_str());
        let mut dated: Vec<(SystemTime, Name)> = Vec::new();
        for id in names_in(&directory)?.into_iter().filter(|id| id.as_str().starts_with(prefix)) {
            match fs::metadata(directory.join(id.as_str())).and_then(|metadata| metadata.modified()) {
                Ok(time) => dated.push((time, id)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unavailable("list artifacts")(error)),
            }
        }
        dated.sort_unstable_by_key(|entry| Reverse(entry.clone()));
        Ok(dated.into_iter().map(|(_, id)| id).collect())
    }

    fn open_zip(&self, service: &Name, artifact_id: &Name) -> Result<fs::File, StorageError> {
        fs::File::open(self.path(service, artifact_id)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                StorageError::NotFound { service: service.clone(), artifact_id: artifact_id.clone() }
            }
            _ => unavailable("read an artifact")(error),
        })
    }
}

/// The entries of a directory that are names; none when the directory is not there.
fn names_in(directory: &Path) -> Result<Vec<Name>, StorageError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unavailable("list artifacts")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file_name = entry.map_err(unavailable("list artifacts"))?.file_name();
        names.extend(file_name.to_str().and_then(|name| Name::new(name).ok()));
    }
    Ok(names)
}

fn remove_leftovers(uploads: &Path) -> io::Result<()> {
    for entry in fs::read_dir(uploads)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
