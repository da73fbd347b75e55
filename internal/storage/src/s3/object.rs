//! Reading one object: bounded in size and time, and whole or not at all.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use backon::{ExponentialBuilder, Retryable};
use bytes::{Bytes, BytesMut};
use release_core::Name;

use super::{
    Inner, failed, key,
    trouble::{Trouble, root_cause},
};
use crate::{ArchiveError, StorageError, archive::archive_error};

/// How long one body may take.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a body that was cut off is asked for again; the SDK repeats only up to its beginning.
const RETRIES: usize = 2;

/// What S3 calls the version of an object's contents.
pub(super) type ETag = Arc<str>;

pub(super) struct Object {
    pub(super) etag: ETag,
    pub(super) zip: Bytes,
}

enum ReadError {
    Missing,
    TooBig,
    Trouble(Trouble),
}

impl Inner {
    /// The object as it is now; `None` when it is still the known one.
    pub(super) async fn read(
        &self,
        service: &Name,
        artifact_id: &Name,
        known: Option<&ETag>,
    ) -> Result<Option<Object>, StorageError> {
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        let attempt = || self.read_once(service, artifact_id, known);
        let backoff = ExponentialBuilder::default().with_jitter().with_max_times(RETRIES);
        let backoff = backoff.with_min_delay(Duration::from_millis(100));
        let object = attempt
            .retry(backoff)
            .when(|error| matches!(error, ReadError::Trouble(Trouble::CutOff(_))))
            .await
            .map_err(|error| self.error(service, artifact_id, error))?;
        if let Some(Object { etag, zip }) = &object {
            self.zips.insert(service, artifact_id, etag.clone(), zip.clone(), zip.len());
        }
        Ok(object)
    }

    async fn read_once(
        &self,
        service: &Name,
        artifact_id: &Name,
        known: Option<&ETag>,
    ) -> Result<Option<Object>, ReadError> {
        let get = self.s3.get_object().bucket(self.bucket.as_str()).key(key(service, artifact_id));
        let answer = match get.set_if_none_match(known.map(ToString::to_string)).send().await {
            Ok(answer) => answer,
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 304) => {
                return Ok(None);
            }
            Err(error) if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_))) => {
                return Err(ReadError::Missing);
            }
            Err(error) => return Err(ReadError::Trouble(Trouble::of(&error))),
        };
        let etag = answer.e_tag().unwrap_or_default().into();
        let body = tokio::time::timeout(BODY_TIMEOUT, read_body(answer, self.limits.max_zip_bytes));
        let zip = body.await.unwrap_or(Err(ReadError::Trouble(Trouble::TimedOut)))?;
        Ok(Some(Object { etag, zip }))
    }

    fn error(&self, service: &Name, artifact_id: &Name, error: ReadError) -> StorageError {
        match error {
            ReadError::Missing => {
                StorageError::NotFound { service: service.clone(), artifact_id: artifact_id.clone() }
            }
            ReadError::TooBig => {
                let problem = ArchiveError::ZipTooBig(self.limits.max_zip_bytes);
                archive_error(service, artifact_id, problem)
            }
            ReadError::Trouble(trouble) => failed("read an artifact", trouble),
        }
    }
}

/// Nothing is read of what is too long by its own account.
async fn read_body(answer: GetObjectOutput, limit: u64) -> Result<Bytes, ReadError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
    if length.is_some_and(|length| length > limit) {
        return Err(ReadError::TooBig);
    }
    let mut zip = BytesMut::with_capacity(length.unwrap_or_default());
    let mut body = answer.body;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| ReadError::Trouble(Trouble::CutOff(root_cause(&error))))?;
        if zip.len() + chunk.len() > limit {
            return Err(ReadError::TooBig);
        }
        zip.extend_from_slice(&chunk);
    }
    if length.is_some_and(|length| length != zip.len()) {
        let message = format!("{} of {} bytes came", zip.len(), length.unwrap_or_default());
        return Err(ReadError::Trouble(Trouble::CutOff(message)));
    }
    Ok(zip.freeze())
}
