//! Signs commits in this process: a `gpg` process for each would take longer than its push.

mod keyring;
mod openpgp;
mod rsa_key;
mod ssh;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Which key signs commits.
#[derive(Debug, Clone)]
pub struct SigningOptions {
    /// The path of an ssh private key, which has a `/` in it; or the id, fingerprint or
    /// e-mail address of an `OpenPGP` key.
    pub key: String,
    /// Files with `OpenPGP` private keys, armored or not, without a passphrase.
    pub gpg_key_paths: Vec<PathBuf>,
}

/// Why commits cannot be signed. None of these is written without its signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error("the signing key {} cannot be read; the server's user needs to", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} holds no {wanted}; export the private key into it", .path.display())]
    WrongKind { path: PathBuf, wanted: &'static str },
    #[error("the signing key '{key}' is in none of the files that are imported; give one that holds it")]
    Missing { key: String },
    #[error("the signing key {0} is protected by a passphrase; export it without one")]
    Passphrase(String),
    #[error("the signing key {0} is revoked; give another")]
    Revoked(String),
    #[error("the signing key {0} has expired; extend it or give another")]
    Expired(String),
    #[error("the signing key {0} may not or cannot sign; give one that is made for signing")]
    CannotSign(String),
    #[error("the commit cannot be signed with the key {0}")]
    Failed(String),
}

/// Holds the signing key, once it could be read.
pub(crate) struct Signer {
    options: SigningOptions,
    key: Option<Key>,
}

enum Key {
    OpenPgp(Box<openpgp::Key>),
    Ssh(Box<ssh::Key>),
}

impl Signer {
    pub(crate) fn new(options: SigningOptions) -> Self {
        Self { options, key: None }
    }

    /// Whether commits can be signed at `time`, in seconds since 1970. Reads the key until it is
    /// a good one, and again once it is not: somebody may have put a better file there.
    pub(crate) fn check(&mut self, time: i64) -> Result<(), SigningError> {
        if self.key.as_ref().is_none_or(|key| key.check(time).is_err()) {
            self.key = None;
            let key = Key::load(&self.options, time)?;
            key.check(time)?;
            self.key = Some(key);
        }
        Ok(())
    }

    /// The armored signature of a commit object that has none yet.
    pub(crate) fn sign(&self, commit: &[u8], time: i64) -> Result<String, SigningError> {
        match &self.key {
            Some(Key::OpenPgp(key)) => key.sign(commit, time),
            Some(Key::Ssh(key)) => key.sign(commit),
            None => Err(SigningError::Failed(self.options.key.clone())),
        }
    }
}

impl Key {
    fn load(options: &SigningOptions, time: i64) -> Result<Self, SigningError> {
        if options.key.contains('/') {
            Ok(Self::Ssh(Box::new(ssh::Key::read(Path::new(&options.key))?)))
        } else {
            Ok(Self::OpenPgp(Box::new(keyring::find(&options.key, &options.gpg_key_paths, time)?)))
        }
    }

    fn check(&self, time: i64) -> Result<(), SigningError> {
        match self {
            Self::OpenPgp(key) => key.check(time),
            Self::Ssh(_) => Ok(()),
        }
    }
}

/// A commit object with its signature in the header that git looks for, behind all others.
pub(crate) fn with_signature(commit: &[u8], signature: &str) -> Vec<u8> {
    let header_end = commit.windows(2).position(|pair| pair == b"\n\n").map_or(commit.len(), |at| at + 1);
    let (headers, message) = commit.split_at(header_end);
    let folded = signature.trim_end().replace("\r\n", "\n").replace('\n', "\n ");
    [headers, b"gpgsig ", folded.as_bytes(), b"\n", message].concat()
}

/// No key is that long.
const MAX_KEY_BYTES: u64 = 1 << 20;

fn read(path: &Path) -> Result<Vec<u8>, SigningError> {
    let failed = |source| SigningError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_KEY_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_last_header() {
        let commit = b"tree 1\nauthor a\nrelease-id x\n\ntitle\n\ntext\n";
        let signed = with_signature(commit, "-----BEGIN\n\nabc\n-----END\n");
        assert_eq!(
            String::from_utf8(signed).unwrap(),
            "tree 1\nauthor a\nrelease-id x\ngpgsig -----BEGIN\n \n abc\n -----END\n\ntitle\n\ntext\n"
        );
    }

    #[test]
    fn a_key_that_is_not_there_is_looked_for_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut signer =
            Signer::new(SigningOptions { key: path.display().to_string(), gpg_key_paths: Vec::new() });
        let error = signer.check(0).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        fs::write(&path, "-----BEGIN CERTIFICATE-----").unwrap();
        let error = signer.check(0).unwrap_err();
        assert!(error.to_string().contains("holds no ssh private key"), "{error}");
        assert!(signer.sign(b"", 0).is_err());
    }
}
