//! Taking an upload: nothing is visible before all of it was checked.

use std::{
    fs,
    io::{self, BufReader, Seek},
    path::Path,
    time::SystemTime,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use md5::{Digest, Md5};
use release_core::Name;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::{DirectoryStore, Inner};
use crate::{ArchiveError, Checksum, UploadError, UploadQuery, archive::Archive};

impl DirectoryStore {
    /// Takes the body of a PUT to an upload URL. `query` is the URL's,
    /// `content_md5` the header. Replaces an earlier upload of the artifact at
    /// once and as a whole; after an error, or when the future is dropped,
    /// nothing has changed.
    pub async fn receive<E>(
        &self,
        service: &Name,
        artifact_id: &Name,
        query: &UploadQuery,
        content_md5: Option<&str>,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
        now: DateTime<Utc>,
    ) -> Result<(), UploadError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let expected = self.inner.signer.verify(service, artifact_id, query, now)?;
        if content_md5.and_then(|header| Checksum::from_base64(header).ok()) != Some(expected) {
            return Err(UploadError::Md5Header { expected });
        }
        let upload = self
            .blocking(|inner| NamedTempFile::new_in(&inner.uploads))
            .await
            .map_err(UploadError::Unavailable)?;
        let received = write_body(&upload, body, self.inner.limits.max_zip_bytes).await?;
        if received != expected {
            return Err(UploadError::Md5Mismatch { expected, received });
        }
        let (service, artifact_id) = (service.clone(), artifact_id.clone());
        self.in_turn(move |inner| inner.store(&service, &artifact_id, upload)).await
    }
}

impl Inner {
    fn store(&self, service: &Name, artifact_id: &Name, upload: NamedTempFile) -> Result<(), UploadError> {
        self.check_upload(service, artifact_id, &upload)?;
        self.put_in_place(service, artifact_id, upload).map_err(UploadError::Unavailable)?;
        // The stamp of two uploads can be the same on a coarse clock.
        self.cache.remove(service, artifact_id);
        Ok(())
    }

    fn check_upload(
        &self,
        service: &Name,
        artifact_id: &Name,
        upload: &NamedTempFile,
    ) -> Result<(), UploadError> {
        let mut file = upload.as_file().try_clone().map_err(UploadError::Unavailable)?;
        file.rewind().map_err(UploadError::Unavailable)?;
        check_archive(BufReader::new(file), self, service, artifact_id).map_err(|error| match error {
            ArchiveError::Io(error) => UploadError::Unavailable(error),
            error => UploadError::BadArchive(error),
        })
    }

    fn put_in_place(&self, service: &Name, artifact_id: &Name, upload: NamedTempFile) -> io::Result<()> {
        let path = self.path(service, artifact_id);
        let directory = self.artifacts.join(service.as_str());
        // Listings sort by this time; the kernel's own is too coarse for uploads in a row.
        upload.as_file().set_modified(SystemTime::now())?;
        upload.as_file().sync_all()?;
        fs::create_dir_all(&directory)?;
        upload.persist(&path)?;
        sync_directory(&directory)?;
        sync_directory(&self.artifacts)
    }
}

fn check_archive(
    file: BufReader<fs::File>,
    inner: &Inner,
    service: &Name,
    artifact_id: &Name,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::open(file, inner.limits)?;
    archive.summary_of(service, artifact_id)?;
    archive.verify()
}

async fn write_body<E>(
    upload: &NamedTempFile,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    limit: u64,
) -> Result<Checksum, UploadError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let file = upload.as_file().try_clone().map_err(UploadError::Unavailable)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut hasher = Md5::new();
    let mut left = limit;
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| UploadError::CutOff(error.into()))?;
        left = left.checked_sub(chunk.len() as u64).ok_or(UploadError::TooLarge { limit })?;
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(UploadError::Unavailable)?;
    }
    file.flush().await.map_err(UploadError::Unavailable)?;
    Ok(Checksum::of_hasher(hasher))
}

/// Makes a rename survive a power failure.
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
