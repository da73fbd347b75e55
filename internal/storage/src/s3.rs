//! Artifacts as objects `<service>/<artifact-id>` of one bucket, in S3 or what is compatible with it.

mod bucket_name;
mod connection;
mod listing;
mod notifications;
mod object;
mod trouble;

use std::{cmp::Reverse, io::Cursor, pin::pin, sync::Arc, time::Duration};

use aws_sdk_s3::{Client, presigning::PresigningConfig};
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream};
use release_core::{Name, Spec, artifact::id_prefix_of_branch};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    ArchiveError, Checksum, File, Limits, MAX_SUMMARY_BYTES, Storage, StorageError, Summary,
    archive::{Archive, archive_error},
    cache::Cache,
    unavailable,
    upload::UPLOAD_URL_LIFETIME,
};
pub use bucket_name::{BucketName, BucketNameError};
pub use connection::{S3Error, S3Options};
use listing::{Listed, MAX_LISTED};
pub use notifications::{HandOver, Notifications, StoredArtifact};
use object::{ETag, Object};
use trouble::Trouble;

/// How many objects are read at once; others wait. With the longest allowed zip it bounds the
/// memory of hundreds of releases that come together.
const MAX_READING: usize = 8;
/// About this many bytes of zips are kept in memory, so that a release to the next environment
/// needs no second download.
const MAX_ZIP_BYTES: u64 = 64 << 20;
/// Probes do not wait for long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The storage in a bucket. Cheap to clone. Any number of servers may share a bucket.
///
/// Uploads go past the server: [`Notifications`] tells of them.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    s3: Client,
    bucket: BucketName,
    limits: Limits,
    summaries: Cache<ETag, Arc<Summary>>,
    zips: Cache<ETag, Bytes>,
    turns: Semaphore,
}

impl S3Store {
    /// Connects to nothing yet: a bucket that cannot be reached now may be there later.
    pub async fn new(options: S3Options) -> Result<(Self, Notifications), S3Error> {
        let config = connection::config(&options).await?;
        let s3 = connection::s3(&config, options.path_style);
        let notifications = Notifications::new(s3.clone(), connection::sqs(&config), options.bucket.clone());
        let inner = Inner {
            s3,
            bucket: options.bucket,
            limits: options.limits,
            summaries: Cache::new(MAX_SUMMARY_BYTES),
            zips: Cache::new(MAX_ZIP_BYTES),
            turns: Semaphore::new(MAX_READING),
        };
        Ok((Self { inner: Arc::new(inner) }, notifications))
    }
}

impl Storage for S3Store {
    fn upload_url<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        md5: Checksum,
    ) -> BoxFuture<'a, Result<Url, StorageError>> {
        Box::pin(self.inner.upload_url(service, artifact_id, md5))
    }

    fn summary<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
    ) -> BoxFuture<'a, Result<Arc<Summary>, StorageError>> {
        Box::pin(self.inner.summary(service, artifact_id))
    }

    fn files<'a>(
        &'a self,
        service: &'a Name,
        artifact_id: &'a Name,
        environment: &'a Name,
    ) -> BoxFuture<'a, Result<Vec<File>, StorageError>> {
        Box::pin(self.inner.files(service, artifact_id, environment))
    }

    fn newest<'a>(
        &'a self,
        service: &'a Name,
        branch: Option<&'a str>,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Summary>>, StorageError>> {
        Box::pin(self.inner.newest(service, branch, count))
    }

    fn ids<'a>(&'a self, service: &'a Name) -> BoxFuture<'a, Result<Vec<Name>, StorageError>> {
        Box::pin(listing::ids(&self.inner, service))
    }

    fn services(&self) -> BoxFuture<'_, Result<Vec<Name>, StorageError>> {
        Box::pin(listing::services(&self.inner))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            let checked = tokio::time::timeout(CHECK_TIMEOUT, self.inner.check()).await;
            checked.unwrap_or(Err(Trouble::TimedOut)).map_err(|trouble| failed("list artifacts", trouble))
        })
    }
}

impl Inner {
    /// The client has to send the checksum and nothing else that is signed: older clients send
    /// no content type, and newer ones do.
    async fn upload_url(
        &self,
        service: &Name,
        artifact_id: &Name,
        md5: Checksum,
    ) -> Result<Url, StorageError> {
        let lifetime = UPLOAD_URL_LIFETIME.to_std().expect("it is positive");
        let lifetime = PresigningConfig::expires_in(lifetime).expect("it is less than a week");
        let put = self.s3.put_object().bucket(self.bucket.as_str()).key(key(service, artifact_id));
        let signed = put
            .content_md5(md5.to_string())
            .presigned(lifetime)
            .await
            .map_err(|error| failed("sign an upload URL", Trouble::of(&error)))?;
        Ok(Url::parse(signed.uri()).expect("the SDK makes valid URLs"))
    }

    async fn summary(&self, service: &Name, artifact_id: &Name) -> Result<Arc<Summary>, StorageError> {
        let known = self.summaries.latest(service, artifact_id);
        let etag = known.as_ref().map(|(etag, _)| etag);
        match (self.read(service, artifact_id, etag).await?, known) {
            (None, Some((_, summary))) => Ok(summary),
            (Some(object), _) => self.summary_of(service, artifact_id, object).await,
            (None, None) => unreachable!("an object is unchanged only as compared to a known one"),
        }
    }

    /// Without a request when it is cached.
    async fn summary_of_listed(&self, service: &Name, listed: &Listed) -> Result<Arc<Summary>, StorageError> {
        match self.summaries.get(service, &listed.id, &listed.etag) {
            Some(summary) => Ok(summary),
            None => self.summary(service, &listed.id).await,
        }
    }

    async fn summary_of(
        &self,
        service: &Name,
        artifact_id: &Name,
        object: Object,
    ) -> Result<Arc<Summary>, StorageError> {
        let Object { etag, zip } = object;
        let summary = self.unpack(service, artifact_id, zip, move |_, summary| Ok(Arc::new(summary))).await?;
        let bytes = summary.spec.to_json().len();
        self.summaries.insert(service, artifact_id, etag, summary.clone(), bytes);
        Ok(summary)
    }

    async fn files(
        &self,
        service: &Name,
        artifact_id: &Name,
        environment: &Name,
    ) -> Result<Vec<File>, StorageError> {
        let known = self.zips.latest(service, artifact_id);
        let etag = known.as_ref().map(|(etag, _)| etag);
        let object = self.read(service, artifact_id, etag).await?;
        let zip = object.map(|object| object.zip).or(known.map(|(_, zip)| zip));
        let zip = zip.expect("an object is unchanged only as compared to a known one");
        let of_environment = environment.clone();
        let files = self.unpack(service, artifact_id, zip, move |archive, _| {
            let files = archive.files(&of_environment)?;
            Ok(files.ok_or_else(|| archive.environments()))
        });
        files.await?.map_err(|existing| StorageError::UnknownEnvironment {
            artifact_id: artifact_id.clone(),
            environment: environment.clone(),
            existing,
        })
    }

    /// Checks a zip and reads something of it, on a thread that may block.
    async fn unpack<T: Send + 'static>(
        &self,
        service: &Name,
        artifact_id: &Name,
        zip: Bytes,
        read: impl FnOnce(&mut Archive<Cursor<Bytes>>, Summary) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (limits, of) = (self.limits, (service.clone(), artifact_id.clone()));
        let unpacked = tokio::task::spawn_blocking(move || {
            let mut archive = Archive::open(Cursor::new(zip), limits)?;
            let summary = archive.summary_of(&of.0, &of.1)?;
            read(&mut archive, summary)
        });
        match unpacked.await {
            Ok(result) => result.map_err(|problem| archive_error(service, artifact_id, problem)),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// An object's time is in seconds; of those of one second, the build that ended later is newer.
    async fn newest(
        &self,
        service: &Name,
        branch: Option<&str>,
        count: usize,
    ) -> Result<Vec<Arc<Summary>>, StorageError> {
        let prefix = branch.map(id_prefix_of_branch).unwrap_or_default();
        let mut newest = Newest { count, found: Vec::new() };
        let mut before = None;
        loop {
            let listed = listing::newest(self, service, &prefix, before.as_ref()).await?;
            if self.take(service, branch, &listed, &mut newest).await? || listed.len() < MAX_LISTED {
                return Ok(newest.sorted());
            }
            before = listed.into_iter().last();
        }
    }

    /// Takes artifacts of the branch until there are enough. `false`: there are not.
    async fn take(
        &self,
        service: &Name,
        branch: Option<&str>,
        listed: &[Listed],
        newest: &mut Newest,
    ) -> Result<bool, StorageError> {
        let ahead = newest.count.clamp(1, MAX_READING);
        let summaries = stream::iter(listed.to_vec()).map(|listed| self.usable(service, listed));
        let mut summaries = pin!(summaries.buffered(ahead));
        for listed in listed {
            if newest.is_complete_before(listed.modified) {
                return Ok(true);
            }
            let Some(summary) = summaries.next().await else { break };
            let of_branch = |spec: &Spec| branch.is_none_or(|branch| spec.application.branch == branch);
            let summary = summary?.filter(|summary| of_branch(&summary.spec));
            newest.found.extend(summary.map(|summary| (listed.modified, summary)));
        }
        Ok(false)
    }

    /// `None` for an artifact that is left out of listings.
    async fn usable(&self, service: &Name, listed: Listed) -> Result<Option<Arc<Summary>>, StorageError> {
        match self.summary_of_listed(service, &listed).await {
            Ok(summary) => Ok(Some(summary)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error @ StorageError::BadArtifact { .. }) => {
                tracing::warn!(%error, "left an artifact out of a listing");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn check(&self) -> Result<(), Trouble> {
        let list = self.s3.list_objects_v2().bucket(self.bucket.as_str()).max_keys(1).send();
        list.await.map(drop).map_err(|error| Trouble::of(&error))
    }
}

/// Artifacts with the second of their storing, in the order of a listing.
struct Newest {
    count: usize,
    found: Vec<(i64, Arc<Summary>)>,
}

impl Newest {
    /// One more of the same second may still be the newer build.
    fn is_complete_before(&self, modified: i64) -> bool {
        self.found.len() >= self.count && self.found.last().is_none_or(|(last, _)| *last != modified)
    }

    fn sorted(mut self) -> Vec<Arc<Summary>> {
        self.found.sort_by_key(|(modified, summary)| Reverse((*modified, summary.spec.ended_at())));
        self.found.into_iter().take(self.count).map(|(_, summary)| summary).collect()
    }
}

fn key(service: &Name, artifact_id: &Name) -> String {
    format!("{service}/{artifact_id}")
}

fn failed(action: &'static str, trouble: Trouble) -> StorageError {
    unavailable(action)(trouble.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(minutes: i64) -> Arc<Summary> {
        let mut spec = Spec::default();
        spec.ci.end += chrono::TimeDelta::minutes(minutes);
        Arc::new(Summary { spec, environments: Vec::new() })
    }

    #[test]
    fn of_artifacts_of_one_second_the_later_build_is_newer() {
        let (old, new, older_second) = (ended(1), ended(2), ended(3));
        let found = vec![(7, old.clone()), (7, new.clone()), (6, older_second)];
        let newest = Newest { count: 2, found };
        assert!(newest.is_complete_before(5));
        assert!(!newest.is_complete_before(6), "one of the same second may be newer");
        assert_eq!(newest.sorted(), [new, old]);
    }
}
