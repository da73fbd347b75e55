use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Datelike as _, Utc};
use release_core::Secret;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{
    ProviderConfig,
    token::{Identity, Token},
};

/// Whoever holds the lock waits for one answer of the provider at most.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);
const MAX_SIZE: u64 = 256 * 1024;

/// The file that keeps a login. Mode 0600, replaced as a whole, changed by one process at a time.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
    older: Option<PathBuf>,
}

/// A login cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("the login in {} cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: String },
    #[error("the login cannot be saved in {}: {cause}", path.display())]
    Write { path: PathBuf, cause: String },
    #[error("the login in {} cannot be removed: {cause}", path.display())]
    Remove { path: PathBuf, cause: String },
    #[error("another process has the lock {} for too long", path.display())]
    Locked { path: PathBuf },
}

/// The names are those of older versions, which have the first four. No `Debug`: it is secret.
#[derive(Serialize, Deserialize)]
struct Saved {
    access_token: String,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry: Option<DateTime<Utc>>,
    /// With [`Self::client_id`]: a token is never used for another provider or program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(default)]
    identity: Option<Identity>,
}

impl TokenFile {
    /// `older` is read where there is no file at `path`, and never written.
    pub fn new(path: PathBuf, older: Option<PathBuf>) -> Self {
        Self { path, older }
    }

    pub(super) fn read(&self, config: &ProviderConfig) -> Result<Option<Token>, TokenFileError> {
        for path in [Some(&self.path), self.older.as_ref()].into_iter().flatten() {
            if let Some(saved) = read(path)? {
                return Ok(saved.is_of(config).then(|| saved.into()));
            }
        }
        Ok(None)
    }

    pub(super) fn write(&self, config: &ProviderConfig, token: &Token) -> Result<(), TokenFileError> {
        let saved = Saved::new(config, token);
        let contents = serde_json::to_vec_pretty(&saved).expect("it has only texts and times");
        let replace = || {
            // Its mode is 0600.
            let mut file = NamedTempFile::new_in(self.directory())?;
            file.write_all(&contents)?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        replace().map_err(|error: io::Error| self.write_error(&error))
    }

    pub(super) fn remove(&self) -> Result<(), TokenFileError> {
        for path in [Some(&self.path), self.older.as_ref()].into_iter().flatten() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TokenFileError::Remove { path: path.clone(), cause: error.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Held until the result is dropped. A file of its own, because the other one is replaced.
    pub(super) async fn lock(&self) -> Result<File, TokenFileError> {
        let path = self.path.with_extension("lock");
        let open = || {
            create_private(self.directory())?;
            File::options().create(true).append(true).open(&path)
        };
        let file = open().map_err(|error| self.write_error(&error))?;
        let lock = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        match tokio::time::timeout(LOCK_TIMEOUT, lock).await {
            Ok(locked) => {
                let locked = locked.expect("locking does not panic");
                locked.map_err(|error| self.write_error(&error))
            }
            Err(_) => Err(TokenFileError::Locked { path }),
        }
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn write_error(&self, error: &io::Error) -> TokenFileError {
        TokenFileError::Write { path: self.path.clone(), cause: error.to_string() }
    }
}

impl Saved {
    fn new(config: &ProviderConfig, token: &Token) -> Self {
        Self {
            access_token: token.access.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            refresh_token: token.refresh.as_ref().map(|token| token.expose().to_owned()),
            expiry: token.expires_at,
            idp: Some(config.url.to_string()),
            client_id: Some(config.client_id.clone()),
            identity: Some(token.identity.clone()),
        }
    }

    /// Older versions do not say whose it is.
    fn is_of(&self, config: &ProviderConfig) -> bool {
        self.idp.as_ref().is_none_or(|url| url == config.url.as_str())
            && self.client_id.as_ref().is_none_or(|id| *id == config.client_id)
    }
}

impl From<Saved> for Token {
    fn from(saved: Saved) -> Self {
        let identity = saved.identity.or_else(|| Identity::of_jwt(&saved.access_token));
        Self {
            access: Secret::new(saved.access_token),
            refresh: saved.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            // Older versions write the year 1 for "never".
            expires_at: saved.expiry.filter(|expiry| expiry.year() > 1),
            identity: identity.unwrap_or_default(),
        }
    }
}

/// The error of the reader would show what it read.
fn read(path: &Path) -> Result<Option<Saved>, TokenFileError> {
    let failed = |cause: String| TokenFileError::Read { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut contents = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut contents).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&contents)
        .map(Some)
        .map_err(|_| failed("it is not what a login looks like".to_owned()))
}

#[cfg(unix)]
fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}
