//! The tokens that are accepted: the configured ones, or generated ones for a server that was
//! started without any.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tempfile::NamedTempFile;

use crate::http::auth::{Audience, Tokens};

const TOKEN_BYTES: usize = 32;

/// The configured tokens. When there is no way at all to log in, one for each audience is read from
/// `<data_dir>/tokens/<audience>`, and made where it is not there yet.
///
/// `has_identity_provider`: people can log in without any of them, so none is made that nobody asked for.
pub(crate) fn load(
    configured: Tokens,
    has_identity_provider: bool,
    data_dir: &Path,
) -> anyhow::Result<Tokens> {
    if has_identity_provider || !configured.are_all_empty() {
        tracing::info!(tokens = ?configured, "Tokens are configured");
        return Ok(configured);
    }
    let directory = data_dir.join("tokens");
    let token = |audience| {
        read_or_create(&directory, audience)
            .with_context(|| format!("the tokens in {} cannot be read or made", directory.display()))?
            .parse()
            .map_err(anyhow::Error::from)
    };
    let tokens = Tokens {
        hamctl: token(Audience::Hamctl)?,
        artifact: token(Audience::Artifact)?,
        daemon: token(Audience::Daemon)?,
    };
    tracing::info!(directory = %directory.display(), "No tokens are configured; using generated ones");
    Ok(tokens)
}

/// Where the generated token of an audience is.
pub(crate) fn path(data_dir: &Path, audience: Audience) -> PathBuf {
    data_dir.join("tokens").join(audience.name())
}

fn read_or_create(directory: &Path, audience: Audience) -> io::Result<String> {
    let path = directory.join(audience.name());
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(directory, &path),
        Ok(token) if token.trim().is_empty() => {
            Err(io::Error::new(ErrorKind::InvalidData, format!("{} is empty; remove it", path.display())))
        }
        result => result,
    }
}

/// Whole or not at all, and readable by nobody else at any time.
fn create(directory: &Path, path: &Path) -> io::Result<String> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let token = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>());
    let mut file = NamedTempFile::new_in(directory)?;
    writeln!(file, "{token}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn generated_tokens_differ_are_private_and_stay() {
        let data_dir = tempfile::tempdir().unwrap();
        load(Tokens::default(), false, data_dir.path()).unwrap();
        let read = |audience: Audience| {
            let path = path(data_dir.path(), audience);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::read_to_string(path).unwrap().trim().to_owned()
        };
        let [hamctl, artifact, daemon] = Audience::ALL.map(read);
        assert!(hamctl != artifact && artifact != daemon && hamctl != daemon);
        assert!(hamctl.len() > 40);

        let again = load(Tokens::default(), false, data_dir.path()).unwrap();
        assert!(again.hamctl.accepts(&hamctl) && !again.hamctl.accepts(&artifact));
        assert!(again.artifact.accepts(&artifact) && again.daemon.accepts(&daemon));
    }

    #[test]
    fn one_configured_audience_means_that_the_others_are_refused() {
        let data_dir = tempfile::tempdir().unwrap();
        let configured = Tokens { hamctl: "secret".parse().unwrap(), ..Tokens::default() };
        let tokens = load(configured, false, data_dir.path()).unwrap();
        assert!(tokens.hamctl.accepts("secret"));
        assert!(tokens.artifact.is_empty() && tokens.daemon.is_empty());
        assert!(!data_dir.path().join("tokens").exists());
    }

    #[test]
    fn with_an_identity_provider_no_token_is_made() {
        let data_dir = tempfile::tempdir().unwrap();
        assert!(load(Tokens::default(), true, data_dir.path()).unwrap().are_all_empty());
        assert!(!data_dir.path().join("tokens").exists());
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let data_dir = tempfile::tempdir().unwrap();
        load(Tokens::default(), false, data_dir.path()).unwrap();
        fs::write(path(data_dir.path(), Audience::Hamctl), "\n").unwrap();
        let error = load(Tokens::default(), false, data_dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("hamctl is empty"), "{error:#}");
    }
}
