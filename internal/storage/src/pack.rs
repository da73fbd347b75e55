//! Packing a directory into an artifact's zip.

use std::{
    fs,
    io::{self, Cursor, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use release_core::artifact::FILE_NAME;
use zip::{ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::{
    Checksum, Limits,
    entry::{EntryProblem, check_path},
};

/// A zip that is ready for its upload.
#[derive(Debug, Clone)]
pub struct Packed {
    pub zip: Bytes,
    pub md5: Checksum,
    pub files: usize,
}

/// Why a directory cannot become an artifact.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("'{}' has no {FILE_NAME}; run `artifact init` first", .0.display())]
    NoSpec(PathBuf),
    #[error("'{}' {problem}; remove or rename it", path.display())]
    Entry { path: PathBuf, problem: EntryProblem },
    #[error("'{}' has more than {limit} files; is it the right directory?", root.display())]
    TooManyFiles { root: PathBuf, limit: usize },
    #[error("the files in '{}' are larger than {limit} bytes; is it the right directory?", root.display())]
    TooBig { root: PathBuf, limit: u64 },
    #[error("the zip of '{}' would be larger than {limit} bytes; is it the right directory?", root.display())]
    ZipTooBig { root: PathBuf, limit: u64 },
    #[error("cannot read '{}'", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the zip")]
    Zip(#[source] ZipError),
}

struct Source {
    path: PathBuf,
    name: String,
}

/// Packs everything below `root`. The same files make the same zip: they are
/// sorted and have no times. Directories without files are left out, as git would.
pub fn pack(root: &Path, limits: Limits) -> Result<Packed, PackError> {
    if !root.join(FILE_NAME).is_file() {
        return Err(PackError::NoSpec(root.to_owned()));
    }
    let mut sources = Vec::new();
    collect(root, root, limits, &mut sources)?;
    sources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let zip = write_zip(root, limits, &sources)?;
    if zip.len() as u64 > limits.max_zip_bytes {
        return Err(PackError::ZipTooBig { root: root.to_owned(), limit: limits.max_zip_bytes });
    }
    Ok(Packed { md5: Checksum::of(&zip), files: sources.len(), zip: zip.into() })
}

fn collect(
    root: &Path,
    directory: &Path,
    limits: Limits,
    sources: &mut Vec<Source>,
) -> Result<(), PackError> {
    let cannot_read = |source| PackError::Read { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let kind = entry.file_type().map_err(cannot_read)?;
        let path = entry.path();
        let name = checked_name(root, &path, kind)
            .map_err(|problem| PackError::Entry { path: path.clone(), problem })?;
        if kind.is_dir() {
            collect(root, &path, limits, sources)?;
        } else {
            sources.push(Source { path, name });
        }
        if sources.len() > limits.max_files {
            return Err(PackError::TooManyFiles { root: root.to_owned(), limit: limits.max_files });
        }
    }
    Ok(())
}

/// The path inside the zip.
fn checked_name(root: &Path, path: &Path, kind: fs::FileType) -> Result<String, EntryProblem> {
    if !kind.is_file() && !kind.is_dir() {
        return Err(EntryProblem::Special);
    }
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    let parts: Option<Vec<_>> = parts.map(|part| part.to_str()).collect();
    let name = parts.ok_or(EntryProblem::NotUtf8)?.join("/");
    check_path(&name, kind.is_dir())?;
    Ok(name)
}

fn write_zip(root: &Path, limits: Limits, sources: &[Source]) -> Result<Vec<u8>, PackError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut left = limits.max_unpacked_bytes;
    for source in sources {
        let cannot_read = |error| PackError::Read { path: source.path.clone(), source: error };
        let file = fs::File::open(&source.path).map_err(cannot_read)?;
        let mode = if is_executable(&file.metadata().map_err(cannot_read)?) { 0o755 } else { 0o644 };
        let mut contents = Vec::new();
        let length =
            file.take(left.saturating_add(1)).read_to_end(&mut contents).map_err(cannot_read)? as u64;
        left = left
            .checked_sub(length)
            .ok_or_else(|| PackError::TooBig { root: root.to_owned(), limit: limits.max_unpacked_bytes })?;
        zip.start_file(&source.name, SimpleFileOptions::DEFAULT.unix_permissions(mode))
            .map_err(PackError::Zip)?;
        zip.write_all(&contents).map_err(|error| PackError::Zip(error.into()))?;
    }
    Ok(zip.finish().map_err(PackError::Zip)?.into_inner())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        root
    }

    fn refusal(root: &Path, limits: Limits) -> String {
        let message = pack(root, limits).unwrap_err().to_string();
        message.replace(root.to_str().unwrap(), "ROOT")
    }

    #[test]
    fn a_directory_without_a_spec_is_refused() {
        let root = root(&[("dev/x", "")]);
        let expected = "'ROOT' has no artifact.json; run `artifact init` first";
        assert_eq!(refusal(root.path(), Limits::default()), expected);
    }

    #[test]
    fn what_the_server_would_refuse_is_refused_here() {
        let cases = [
            (".git/config", "'ROOT/.git' has a bad path: a part of it must not start with '.git'"),
            ("dev/a\\b", "'ROOT/dev/a\\b' has a bad path"),
            ("my env/x", "'ROOT/my env' is in a directory that cannot be an environment"),
            ("dev/artifact.json", "'ROOT/dev/artifact.json' would take the place of"),
        ];
        for (path, expected) in cases {
            let root = root(&[("artifact.json", "{}"), (path, "")]);
            let refusal = refusal(root.path(), Limits::default());
            assert!(refusal.contains(expected), "{expected:?} is not in {refusal:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_refused_not_followed() {
        let root = root(&[("artifact.json", "{}"), ("dev/x", "")]);
        std::os::unix::fs::symlink("x", root.path().join("dev/link")).unwrap();
        let refusal = refusal(root.path(), Limits::default());
        assert!(refusal.starts_with("'ROOT/dev/link' is a symbolic link"), "{refusal}");
    }

    #[test]
    fn limits_are_kept() {
        let root = root(&[("artifact.json", "{}"), ("dev/a", "abcdefghij"), ("dev/b", "")]);
        let limits = Limits::default();
        let few = refusal(root.path(), Limits { max_files: 2, ..limits });
        assert_eq!(few, "'ROOT' has more than 2 files; is it the right directory?");
        let small = refusal(root.path(), Limits { max_unpacked_bytes: 11, ..limits });
        assert_eq!(small, "the files in 'ROOT' are larger than 11 bytes; is it the right directory?");
        let small = refusal(root.path(), Limits { max_zip_bytes: 100, ..limits });
        assert_eq!(small, "the zip of 'ROOT' would be larger than 100 bytes; is it the right directory?");
        assert!(pack(root.path(), Limits { max_files: 3, max_unpacked_bytes: 12, ..limits }).is_ok());
    }
}
