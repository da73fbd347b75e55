//! Reads objects of the local copy, from any thread.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Weighter, sync::Cache};

use crate::{GitError, ObjectId, object::CommitData, pack::FinishedPack};

/// Where trees and blobs are read from: the store, or a draft on top of it.
pub(crate) trait Objects {
    fn tree(&self, id: ObjectId) -> Result<Arc<[u8]>, GitError>;
    fn blob(&self, id: ObjectId) -> Result<Vec<u8>, GitError>;
}

/// libgit2 handles for one thread at a time each, and the trees read lately:
/// libgit2 itself does not cache trees of more than 4 KiB.
pub(crate) struct ObjectStore {
    path: PathBuf,
    idle: Mutex<Vec<Handle>>,
    generation: AtomicU64,
    trees: Cache<ObjectId, Arc<[u8]>, Bytes>,
}

struct Handle {
    repository: git2::Repository,
    generation: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<ObjectId, Arc<[u8]>> for Bytes {
    fn weight(&self, _: &ObjectId, tree: &Arc<[u8]>) -> u64 {
        tree.len() as u64 + 64
    }
}

const TREE_CACHE_BYTES: u64 = 32 << 20;
/// More threads than this may read at once; their handles are not kept.
const IDLE_HANDLES: usize = 8;

impl ObjectStore {
    pub(crate) fn open(path: &Path) -> Result<Self, GitError> {
        let store = Self {
            path: path.to_owned(),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            trees: Cache::with_weighter(10_000, TREE_CACHE_BYTES, Bytes),
        };
        store.with(|_| Ok(()))?;
        Ok(store)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.path.join("objects/pack")
    }

    pub(crate) fn add(&self, pack: &mut FinishedPack) -> Result<(), GitError> {
        let packs = self.packs();
        pack.write_to(&packs).map_err(GitError::io(&packs))
    }

    /// To be called after packs were deleted: handles opened before may still look for them.
    pub(crate) fn reopen(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Runs `read` with a handle; once more with a fresh one if that fails,
    /// because a repack may have deleted the packs that the first one knew.
    pub(crate) fn with<T>(
        &self,
        read: impl Fn(&git2::Repository) -> Result<T, git2::Error>,
    ) -> Result<T, GitError> {
        if let Some(handle) = self.take_idle()
            && let Ok(value) = read(&handle.repository)
        {
            self.give_back(handle);
            return Ok(value);
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let handle = Handle { repository: git2::Repository::open_bare(&self.path)?, generation };
        let value = read(&handle.repository)?;
        self.give_back(handle);
        Ok(value)
    }

    fn take_idle(&self) -> Option<Handle> {
        let mut idle = self.idle.lock().expect("no panic while held");
        let current = self.generation.load(Ordering::SeqCst);
        idle.retain(|handle| handle.generation == current);
        idle.pop()
    }

    fn give_back(&self, handle: Handle) {
        let mut idle = self.idle.lock().expect("no panic while held");
        if idle.len() < IDLE_HANDLES {
            idle.push(handle);
        }
    }

    pub(crate) fn commit(&self, id: ObjectId) -> Result<CommitData, GitError> {
        self.with(|repository| Ok(CommitData::from(&repository.find_commit(id.into())?)))
    }

    /// The commit that `refs/…` points at; `None` when there is no such reference.
    pub(crate) fn tip(&self, reference: &str) -> Result<Option<ObjectId>, GitError> {
        self.with(|repository| match repository.refname_to_id(reference) {
            Ok(id) => Ok(Some(id.into())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    pub(crate) fn set_tip(&self, reference: &str, tip: ObjectId) -> Result<(), GitError> {
        self.with(|repository| repository.reference(reference, tip.into(), true, "pushed").map(|_| ()))
    }

    pub(crate) fn remove_tip(&self, reference: &str) -> Result<(), GitError> {
        self.with(|repository| match repository.find_reference(reference) {
            Ok(mut found) => found.delete(),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error),
        })
    }

    pub(crate) fn is_ancestor(&self, old: ObjectId, new: ObjectId) -> Result<bool, GitError> {
        self.with(|repository| repository.graph_descendant_of(new.into(), old.into()))
    }
}

impl Objects for ObjectStore {
    fn tree(&self, id: ObjectId) -> Result<Arc<[u8]>, GitError> {
        self.trees.get_or_insert_with(&id, || {
            self.with(|repository| Ok(Arc::from(repository.odb()?.read(id.into())?.data())))
        })
    }

    fn blob(&self, id: ObjectId) -> Result<Vec<u8>, GitError> {
        self.with(|repository| Ok(repository.odb()?.read(id.into())?.data().to_vec()))
    }
}
