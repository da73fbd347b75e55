//! Reading an artifact's zip.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek, Write},
};

use release_core::{Name, Spec, artifact::FILE_NAME, artifact::SpecError};
use zip::{
    CompressionMethod,
    ZipReadOptions,
    read::{ArchiveOffset, Config, OwnedZipFileEntry, ZipFileEntry},
    result::ZipError,
    // Unlike the stable reader it shows names that are there twice, and does not
    // load a million of them before we can count.
    unstable::read::ZipIterable,
};

use crate::{
    File, Limits, StorageError, Summary,
    entry::{EntryProblem, check_path, check_tree, shown},
    unavailable,
};

/// The longest `artifact.json`, in bytes.
const MAX_SPEC_BYTES: u64 = 1 << 20;

/// Why a zip is no artifact. Reads on after a colon.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is no zip archive, or it was cut off")]
    NotAZip,
    #[error("it is longer than {0} bytes")]
    ZipTooBig(u64),
    #[error("it has more than {0} files and directories")]
    TooManyFiles(usize),
    #[error("it unpacks to more than {0} bytes")]
    TooBig(u64),
    #[error("its entry '{}' {problem}", shown(entry))]
    Entry { entry: String, problem: EntryProblem },
    #[error("it has no {FILE_NAME} at its top")]
    NoSpec,
    #[error("its {FILE_NAME} is longer than {MAX_SPEC_BYTES} bytes")]
    SpecTooBig,
    #[error("its {0}")]
    Spec(SpecError),
    #[error("its {FILE_NAME} names artifact '{}' of service '{}'", shown(id), shown(service))]
    OtherArtifact { id: String, service: String },
    /// Not the archive's fault.
    #[error("it cannot be read now")]
    Io(#[source] io::Error),
}

/// A zip whose entries are all harmless. Their data is looked at when it is read.
pub(crate) struct Archive<R> {
    reader: R,
    limits: Limits,
    /// Sorted by path.
    entries: Vec<Entry>,
}

struct Entry {
    path: String,
    is_directory: bool,
    executable: bool,
    zipped: OwnedZipFileEntry,
}

impl<R: Read + Seek> Archive<R> {
    pub(crate) fn open(mut reader: R, limits: Limits) -> Result<Self, ArchiveError> {
        let mut entries = read_entries(&mut reader, limits)?;
        check_tree(entries.iter().map(|entry| (entry.path.as_str(), entry.is_directory)))
            .map_err(|(entry, problem)| ArchiveError::Entry { entry, problem })?;
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { reader, limits, entries })
    }

    pub(crate) fn summary(&mut self) -> Result<Summary, ArchiveError> {
        let spec = Spec::from_json(&self.spec_bytes()?).map_err(ArchiveError::Spec)?;
        Ok(Summary { spec, environments: self.environments() })
    }

    /// The summary of this artifact, or an error when the archive is another one's.
    pub(crate) fn summary_of(&mut self, service: &Name, artifact_id: &Name) -> Result<Summary, ArchiveError> {
        let summary = self.summary()?;
        let Spec { id, service: named, .. } = &summary.spec;
        if id != artifact_id.as_str() || named != service.as_str() {
            return Err(ArchiveError::OtherArtifact { id: id.clone(), service: named.clone() });
        }
        Ok(summary)
    }

    /// The directories at the top, sorted.
    pub(crate) fn environments(&self) -> Vec<Name> {
        let tops: BTreeSet<_> = self.entries.iter().filter_map(Entry::environment).collect();
        tops.into_iter().filter_map(|top| Name::new(top).ok()).collect()
    }

    /// `None` when the archive has no such directory.
    pub(crate) fn files(&mut self, environment: &Name) -> Result<Option<Vec<File>>, ArchiveError> {
        if !self.entries.iter().any(|entry| entry.environment() == Some(environment.as_str())) {
            return Ok(None);
        }
        let mut left = self.limits.max_unpacked_bytes;
        let mut files = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.is_directory) {
            let Some(path) = entry.path_in_release(environment) else { continue };
            let mut contents = Vec::with_capacity(entry.likely_size());
            left -= unpack(&mut self.reader, entry, left, &mut contents)?
                .ok_or(ArchiveError::TooBig(self.limits.max_unpacked_bytes))?;
            files.push(File {
                path: path.to_owned(),
                contents: contents.into(),
                executable: entry.executable,
            });
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Some(files))
    }

    /// Unpacks everything to nowhere, so that damage and bombs are found.
    pub(crate) fn verify(&mut self) -> Result<(), ArchiveError> {
        let mut left = self.limits.max_unpacked_bytes;
        for entry in self.entries.iter().filter(|entry| !entry.is_directory) {
            left -= unpack(&mut self.reader, entry, left, &mut io::sink())?
                .ok_or(ArchiveError::TooBig(self.limits.max_unpacked_bytes))?;
        }
        Ok(())
    }

    fn spec_bytes(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let spec = self.entries.iter().find(|entry| entry.path == FILE_NAME && !entry.is_directory);
        let mut contents = Vec::new();
        unpack(&mut self.reader, spec.ok_or(ArchiveError::NoSpec)?, MAX_SPEC_BYTES, &mut contents)?
            .ok_or(ArchiveError::SpecTooBig)?;
        Ok(contents)
    }
}

impl Entry {
    /// In bytes. What the archive claims is believed as far as it costs nothing.
    fn likely_size(&self) -> usize {
        const HARMLESS: u64 = 64 << 10;
        let claimed = self.zipped.size().min(HARMLESS);
        usize::try_from(claimed + 1).unwrap_or_default()
    }

    fn new(zipped: ZipFileEntry<'_>) -> Result<Self, ArchiveError> {
        let name = String::from_utf8_lossy(zipped.name_raw()).into_owned();
        let is_directory = name.ends_with('/');
        let path = name.strip_suffix('/').unwrap_or(&name).to_owned();
        check_kind(&zipped, is_directory)
            .and_then(|()| check_path(&path, is_directory))
            .map_err(|problem| ArchiveError::Entry { entry: name, problem })?;
        let executable = zipped.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        Ok(Self { path, is_directory, executable, zipped: zipped.into() })
    }

    /// The directory at the top that this entry is or is in.
    fn environment(&self) -> Option<&str> {
        match self.path.split_once('/') {
            Some((top, _)) => Some(top),
            None => self.is_directory.then_some(&self.path),
        }
    }

    fn path_in_release(&self, environment: &Name) -> Option<&str> {
        if self.path == FILE_NAME {
            return Some(FILE_NAME);
        }
        self.path.strip_prefix(environment.as_str())?.strip_prefix('/')
    }
}

fn read_entries(reader: &mut (impl Read + Seek), limits: Limits) -> Result<Vec<Entry>, ArchiveError> {
    // Without an offset: nothing may stand in front of the archive.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut zip = ZipIterable::try_new(reader, config).map_err(not_a_zip)?;
    if zip.len() > limits.max_files {
        return Err(ArchiveError::TooManyFiles(limits.max_files));
    }
    zip.files().map_err(not_a_zip)?.map(|entry| Entry::new(entry.map_err(not_a_zip)?)).collect()
}

fn check_kind(entry: &ZipFileEntry<'_>, is_directory: bool) -> Result<(), EntryProblem> {
    const KIND: u32 = 0o170_000;
    const DIRECTORY: u32 = 0o040_000;
    const REGULAR: u32 = 0o100_000;
    let expected = if is_directory { DIRECTORY } else { REGULAR };
    let kind = entry.unix_mode().unwrap_or_default() & KIND;
    if str::from_utf8(entry.name_raw()).is_err() {
        return Err(EntryProblem::NotUtf8);
    }
    if kind != 0 && kind != expected {
        return Err(EntryProblem::Special);
    }
    if entry.encrypted() {
        return Err(EntryProblem::Encrypted);
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(EntryProblem::Compression);
    }
    Ok(())
}

/// Writes at most `limit` bytes, counted as they come out, and says how many
/// they were; `None` when there are more.
fn unpack(
    reader: &mut (impl Read + Seek),
    entry: &Entry,
    limit: u64,
    to: &mut impl Write,
) -> Result<Option<u64>, ArchiveError> {
    let damaged = |error| entry_error(error, &entry.path);
    let unpacked = entry.zipped.as_ref().with_reader(reader, ZipReadOptions::new()).map_err(damaged)?;
    let length = io::copy(&mut unpacked.take(limit.saturating_add(1)), to)
        .map_err(|error| damaged(ZipError::Io(error)))?;
    Ok((length <= limit).then_some(length))
}

pub(crate) fn archive_error(service: &Name, artifact_id: &Name, problem: ArchiveError) -> StorageError {
    match problem {
        ArchiveError::Io(source) => unavailable("read an artifact")(source),
        problem => {
            StorageError::BadArtifact { service: service.clone(), artifact_id: artifact_id.clone(), problem }
        }
    }
}

fn not_a_zip(error: ZipError) -> ArchiveError {
    disk_error(error).map_or(ArchiveError::NotAZip, ArchiveError::Io)
}

fn entry_error(error: ZipError, path: &str) -> ArchiveError {
    match disk_error(error) {
        Some(error) => ArchiveError::Io(error),
        None => ArchiveError::Entry { entry: path.to_owned(), problem: EntryProblem::Damaged },
    }
}

/// The library reports damage as an I/O error too; only the operating system's have a number.
fn disk_error(error: ZipError) -> Option<io::Error> {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => Some(error),
        _ => None,
    }
}
