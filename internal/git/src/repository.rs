//! The local copy of the config repository, and the snapshot that readers see.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use release_core::{Person, full_message};
use tokio::sync::watch;
use tracing::{info, info_span, warn};

use crate::{
    GitError, ObjectId, RemoteOptions, SigningOptions, Snapshot, Writer,
    health::Health,
    history::{self, History},
    note::NOTES,
    remote::Remote,
    store::ObjectStore,
};

/// How to open the config repository.
#[derive(Clone)]
pub struct Options {
    /// Where the local copy is kept. It belongs to this process alone and may be
    /// deleted while no server runs.
    pub directory: PathBuf,
    pub remote: RemoteOptions,
    /// The branch; without it the remote's default branch.
    pub branch: Option<String>,
    /// The committer of every commit.
    pub committer: Person,
    /// The key that signs every commit; none are signed without it.
    pub signing: Option<SigningOptions>,
    /// How often the remote is looked at when nothing is written; jittered by a fifth.
    pub poll_interval: Duration,
    /// At most so many pushes a minute, 0 for no limit. Releases that wait share the next push.
    pub max_pushes_per_minute: usize,
    /// Told of every accepted push, with the number of its commits. Must not block.
    pub on_push: Arc<dyn Fn(usize) + Send + Sync>,
}

/// The config repository, for reading. Cheap to clone.
#[derive(Clone)]
pub struct ConfigRepository {
    shared: Arc<Shared>,
}

/// What readers, the writer and the maintenance share.
pub(crate) struct Shared {
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) remote: Remote,
    pub(crate) branch: String,
    pub(crate) health: Health,
    snapshot: ArcSwap<Snapshot>,
}

impl ConfigRepository {
    /// Opens the local copy, cloning it first where there is none, and starts
    /// the writer. Blocks until history is indexed. A copy that is broken, or of
    /// another repository, is cloned again; a remote that is away is an error
    /// only when there is no copy yet.
    pub fn open(options: &Options) -> Result<(Self, Writer), GitError> {
        // Git runs in other directories than this process.
        let directory = &std::path::absolute(&options.directory).map_err(GitError::io(&options.directory))?;
        let remote = Remote::new(options.remote.clone(), &directory.with_extension("ssh"));
        let existing = if is_usable(directory, remote.url()) {
            open_copy(directory, &remote, options.branch.as_deref())
                .inspect_err(|error| warn!("the copy cannot be used, cloning again: {}", full_message(error)))
                .ok()
        } else {
            None
        };
        let (store, branch) = match existing {
            Some(opened) => opened,
            None => {
                clone_copy(directory, &remote, options.branch.as_deref())?;
                open_copy(directory, &remote, options.branch.as_deref())?
            }
        };
        let store = Arc::new(store);
        let snapshot = indexed_snapshot(&store, &branch)?;
        let shared = Arc::new(Shared {
            store,
            remote,
            branch,
            health: Health::default(),
            snapshot: ArcSwap::from_pointee(snapshot),
        });
        // Failing is noted as a problem; the writer tries again.
        let _ = shared.fetch();
        info!(branch = shared.branch, repository = shared.remote.display_url(), "config repository opened");
        let writer = Writer::start(shared.clone(), options);
        Ok((Self { shared }, writer))
    }

    /// The newest snapshot. Never waits.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// What is wrong with the remote, as a sentence; `None` while it is well.
    /// Changes when the remote goes away and when it is back.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.shared.health.subscribe()
    }

    /// The branch that is read and written.
    pub fn branch(&self) -> &str {
        &self.shared.branch
    }
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.snapshot.load())
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Looks where the remote's branch and notes are and publishes a snapshot of both.
    pub(crate) fn fetch(&self) -> Result<(), GitError> {
        let fetched = info_span!("fetch").in_scope(|| self.remote.fetch(&self.store, &self.branch));
        let result = fetched.and_then(|()| self.advance());
        self.health.fetched(result.as_ref().err().map(|error| full_message(error)));
        result
    }

    fn advance(&self) -> Result<(), GitError> {
        let current = self.snapshot();
        let (tip, notes) = (self.store.tip(&reference(&self.branch))?, self.store.tip(NOTES)?);
        if (tip, notes) == (current.tip(), current.notes()) {
            return Ok(());
        }
        if !continues(&self.store, current.notes(), notes) {
            warn!(
                was = current.notes().map(tracing::field::display),
                is = notes.map(tracing::field::display),
                "{NOTES} of the config repository was rewritten or deleted by somebody; what it noted before is gone"
            );
        }
        let history = advanced_history(&self.store, current.tip(), current.history(), tip)?;
        self.publish(Snapshot::new(self.store.clone(), tip, notes, history)?);
        if tip != current.tip() {
            // Somebody's push was accepted, perhaps one of ours whose answer was lost.
            self.health.pushed();
        }
        Ok(())
    }
}

pub(crate) fn reference(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Whether nothing of what was known is gone.
fn continues(store: &ObjectStore, known: Option<ObjectId>, tip: Option<ObjectId>) -> bool {
    match (known, tip) {
        (None, _) => true,
        (Some(known), Some(tip)) => known == tip || store.is_ancestor(known, tip).unwrap_or(false),
        (Some(_), None) => false,
    }
}

/// The history up to `tip`, read from where it is known; all of it when the
/// known commit is no longer part of it.
fn advanced_history(
    store: &ObjectStore,
    known: Option<ObjectId>,
    history: &History,
    tip: Option<ObjectId>,
) -> Result<History, GitError> {
    if !continues(store, known, tip) {
        warn!(
            was = known.map(tracing::field::display),
            is = tip.map(tracing::field::display),
            "the config repository's history was rewritten by somebody; reading all of it again"
        );
        return History::build(store, tip);
    }
    let mut history = history.clone();
    history.extend(store, known, tip)?;
    Ok(history)
}

fn indexed_snapshot(store: &Arc<ObjectStore>, branch: &str) -> Result<Snapshot, GitError> {
    let (tip, notes) = (store.tip(&reference(branch))?, store.tip(NOTES)?);
    let history = match history::load(store.path()) {
        Some((known, history)) => advanced_history(store, known, &history, tip)?,
        None => {
            let history = History::build(store, tip)?;
            history::save(store.path(), tip, &history)?;
            history
        }
    };
    Snapshot::new(store.clone(), tip, notes, history)
}

/// The file that marks a complete copy and says what it is a copy of.
const MARKER: &str = "release-origin";

fn is_usable(directory: &Path, url: &str) -> bool {
    if fs::read_to_string(directory.join(MARKER)).ok().as_deref() != Some(marker(url).as_str()) {
        return false;
    }
    let intact = remove_leftovers(directory).and_then(|()| packs_are_whole(&directory.join("objects/pack")));
    match intact {
        Ok(true) => true,
        Ok(false) | Err(_) => {
            warn!("the copy of the config repository is damaged, cloning again");
            false
        }
    }
}

/// A digest: the URL may hold a password.
fn marker(url: &str) -> String {
    ObjectId::of(crate::object::Kind::Blob, url.as_bytes()).to_string()
}

fn clone_copy(directory: &Path, remote: &Remote, branch: Option<&str>) -> Result<(), GitError> {
    remove_directory(directory)?;
    let parent = directory.parent().unwrap_or(directory);
    fs::create_dir_all(parent).map_err(GitError::io(parent))?;
    let unfinished = directory.with_extension("cloning");
    remove_directory(&unfinished)?;
    info!(repository = remote.display_url(), "cloning the config repository");
    remote.clone_to(&unfinished, branch)?;
    remote.fetch_first_notes(&unfinished)?;
    fs::write(unfinished.join(MARKER), marker(remote.url())).map_err(GitError::io(&unfinished))?;
    fs::rename(&unfinished, directory).map_err(GitError::io(directory))
}

fn remove_directory(directory: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::io(directory)(error)),
        _ => Ok(()),
    }
}

/// Opens a complete copy on the configured branch, else on the remote's default one.
fn open_copy(
    directory: &Path,
    remote: &Remote,
    branch: Option<&str>,
) -> Result<(ObjectStore, String), GitError> {
    let store = ObjectStore::open(directory)?;
    let branch = match branch {
        Some(branch) => branch.to_owned(),
        None => match remote.default_branch(directory) {
            Ok(Some(branch)) => {
                remember_head_branch(directory, &branch)?;
                branch
            }
            // No commits yet, or the remote is away: what it was when it was last known.
            Ok(None) | Err(_) => head_branch(directory)?,
        },
    };
    if let Some(tip) = store.tip(&reference(&branch))? {
        store.commit(tip)?;
    }
    Ok((store, branch))
}

fn remember_head_branch(directory: &Path, branch: &str) -> Result<(), GitError> {
    let path = directory.join("HEAD");
    if head_branch(directory).ok().as_deref() == Some(branch) {
        return Ok(());
    }
    fs::write(&path, format!("ref: refs/heads/{branch}\n")).map_err(GitError::io(&path))
}

fn head_branch(directory: &Path) -> Result<String, GitError> {
    let path = directory.join("HEAD");
    let head = fs::read_to_string(&path).map_err(GitError::io(&path))?;
    let branch = head.trim().strip_prefix("ref: refs/heads/").ok_or(GitError::Broken("HEAD"))?;
    Ok(branch.to_owned())
}

/// Removes what a killed process left: locks that nobody holds and half-written files.
fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_leftovers(&path)?;
        } else if is_leftover(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Git keeps a pack from being repacked while it works with it.
    let is_lock = path.extension().is_some_and(|extension| extension == "lock" || extension == "keep");
    is_lock || name.starts_with("tmp_") || name.starts_with(".tmp-")
}

/// Whether each pack ends as its index says: a power failure may have torn one.
fn packs_are_whole(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let index = entry?.path();
        if index.extension().is_some_and(|extension| extension == "idx") {
            let pack = index.with_extension("pack");
            let expected = last_bytes(&index, 40)?;
            if expected.is_empty() || last_bytes(&pack, 20)? != expected[..20] {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The last `count` bytes of a file; none when it is shorter or not there.
fn last_bytes(path: &Path, count: u64) -> io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let length = file.metadata()?.len();
    if length < count {
        return Ok(Vec::new());
    }
    file.seek(SeekFrom::Start(length - count))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
