//! The key that signs upload URLs.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::Path,
};

use tempfile::NamedTempFile;

use crate::upload::KEY_BYTES;

/// Reads the key in `directory`, or makes one that only this user can read.
pub(super) fn load_or_create(directory: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = directory.join("signing-key");
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return parse(&read?),
    }
    let key: [u8; KEY_BYTES] = rand::random();
    // Temporary files have mode 0600.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(key),
        // Somebody else was faster.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => parse(&fs::read(&path)?),
        Err(error) => Err(error.error),
    }
}

fn parse(bytes: &[u8]) -> io::Result<[u8; KEY_BYTES]> {
    bytes.try_into().map_err(|_| {
        let message = format!("'signing-key' is not {KEY_BYTES} bytes long; remove it to get a new one");
        io::Error::new(ErrorKind::InvalidData, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_this_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let key = load_or_create(directory.path()).unwrap();
        assert_eq!(load_or_create(directory.path()).unwrap(), key);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(directory.path().join("signing-key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("signing-key"), "short").unwrap();
        assert!(load_or_create(directory.path()).is_err());
    }
}
