//! One provider's keys: fetched, and kept for the time when it is away.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use reqwest::Url;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::key::{Key, KeySet, read_set};

/// The longest answer that is read, in bytes. A key is about half a kilobyte.
const MAX_SET_BYTES: usize = 256 << 10;

/// Why a provider's keys cannot be had at this time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is longer than {MAX_SET_BYTES} bytes")]
    TooLong,
    #[error("its answer is no set of keys: {0}")]
    NoSet(serde_json::Error),
    /// Believing it would lock everybody out, and no provider signs with nothing.
    #[error("its answer has no key that can be used")]
    NoKey,
}

pub(crate) struct Provider {
    url: Url,
    /// Has the last good answer, as it was.
    file: PathBuf,
    known: ArcSwap<Known>,
}

#[derive(Default)]
struct Known {
    json: Vec<u8>,
    set: KeySet,
}

impl Known {
    fn read(json: Vec<u8>) -> Result<Self, FetchError> {
        let set = read_set(&json).map_err(FetchError::NoSet)?;
        if set.is_empty() { Err(FetchError::NoKey) } else { Ok(Self { json, set }) }
    }
}

impl Provider {
    /// With the keys that were kept in the directory, if there are any.
    pub(crate) fn open(url: Url, directory: &Path) -> Self {
        // Any URL makes a name for a file.
        let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, url.as_str().as_bytes());
        let file = directory.join(format!("{name}.json"));
        let kept = std::fs::read(&file).ok().and_then(|json| Known::read(json).ok());
        Self { url, file, known: ArcSwap::from_pointee(kept.unwrap_or_default()) }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn key(&self, id: &str) -> Option<Arc<Key>> {
        self.known.load().set.get(id).cloned()
    }

    /// Replaces the known keys, so that those that the provider took back are gone. On an error, they stay.
    pub(crate) async fn refresh(&self, http: &reqwest::Client) -> Result<(), FetchError> {
        let known = Known::read(fetch(http, self.url.clone()).await?)?;
        if known.json != self.known.load().json {
            self.keep(known.json.clone()).await;
            self.known.store(Arc::new(known));
        }
        Ok(())
    }

    /// A disk that is full only matters at a restart while the provider is away.
    async fn keep(&self, json: Vec<u8>) {
        let file = self.file.clone();
        let written = spawn_blocking(move || write(&file, &json)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(reason = %error, "the identity provider's keys cannot be kept for a restart");
        }
    }
}

async fn fetch(http: &reqwest::Client, url: Url) -> Result<Vec<u8>, FetchError> {
    let mut response = http.get(url).send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if json.len() + chunk.len() > MAX_SET_BYTES {
            return Err(FetchError::TooLong);
        }
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

/// The innermost cause says the most: "connection refused".
fn unreachable(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    FetchError::Unreachable(cause.to_string())
}

/// Whole or not at all.
fn write(file: &Path, json: &[u8]) -> std::io::Result<()> {
    let mut written = NamedTempFile::new_in(file.parent().expect("it is in the directory"))?;
    written.write_all(json)?;
    written.persist(file)?;
    Ok(())
}
