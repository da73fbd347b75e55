//! An immutable view of one commit of the config repository.

use std::sync::Arc;

use release_core::{Person, commit_message::ReleaseMessage};
use uuid::Uuid;

use crate::{
    GitError, ObjectId,
    history::History,
    note,
    object::CommitData,
    store::{ObjectStore, Objects},
    tree::{self, Mode},
};

/// One commit of the config repository with the history that led to it. Cheap
/// to clone; reading it never waits for a writer or for the remote.
#[derive(Clone)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<ObjectStore>,
    tip: Option<ObjectId>,
    root: Option<ObjectId>,
    notes: Option<ObjectId>,
    history: History,
}

/// The files of one commit.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    objects: &'a dyn Objects,
    root: Option<ObjectId>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
    /// Equal ids have equal contents.
    pub id: ObjectId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File,
}

/// A commit that is a release.
#[derive(Debug, Clone)]
pub struct ReleaseCommit {
    pub id: ObjectId,
    pub parent: Option<ObjectId>,
    /// Seconds since 1970.
    pub time: i64,
    /// Who wrote the commit; where its message does not say who released, the best guess.
    pub committer: Person,
    pub message: ReleaseMessage,
}

impl Snapshot {
    pub(crate) fn new(
        store: Arc<ObjectStore>,
        tip: Option<ObjectId>,
        notes: Option<ObjectId>,
        history: History,
    ) -> Result<Self, GitError> {
        let root = tip.map(|tip| store.commit(tip)).transpose()?.map(|commit| commit.tree);
        Ok(Self { inner: Arc::new(Inner { store, tip, root, notes, history }) })
    }

    /// The commit; `None` while the repository has none.
    pub fn tip(&self) -> Option<ObjectId> {
        self.inner.tip
    }

    pub fn tree(&self) -> Tree<'_> {
        Tree::new(&*self.inner.store, self.inner.root)
    }

    /// The files of an older commit.
    pub fn tree_of(&self, commit: ObjectId) -> Result<Tree<'_>, GitError> {
        let root = self.inner.store.commit(commit)?.tree;
        Ok(Tree::new(&*self.inner.store, Some(root)))
    }

    /// The releases of a service to an environment, newest first. Names compare
    /// without case. Each item is read when it is asked for, however long history is.
    pub fn releases(
        &self,
        environment: &str,
        service: &str,
    ) -> impl Iterator<Item = Result<ReleaseCommit, GitError>> + '_ {
        let commits = self.inner.history.releases(environment, service);
        commits.into_iter().flat_map(|ids| ids.into_iter().rev()).map(|id| self.release_commit(id))
    }

    /// Environment and service, in lower case, of everything that was ever released; in no order.
    pub fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.history.places()
    }

    /// The commit that a release became; `None` when it is not in this snapshot.
    pub fn find_release(&self, release_id: Uuid) -> Result<Option<ReleaseCommit>, GitError> {
        self.history().commit_of(release_id).map(|id| self.release_commit(id)).transpose()
    }

    /// The note of a commit, which is not looked for; `None` when it has none.
    pub fn note(&self, commit: ObjectId) -> Result<Option<String>, GitError> {
        note::read(&*self.inner.store, self.notes_root()?, commit)
    }

    fn release_commit(&self, id: ObjectId) -> Result<ReleaseCommit, GitError> {
        let CommitData { parent, committer, time, message, .. } = self.inner.store.commit(id)?;
        let message = ReleaseMessage::parse(&message).ok_or(GitError::Broken("history index"))?;
        Ok(ReleaseCommit { id, parent, time, committer, message })
    }

    pub(crate) fn history(&self) -> &History {
        &self.inner.history
    }

    pub(crate) fn root(&self) -> Option<ObjectId> {
        self.inner.root
    }

    /// The same files and releases with other notes.
    pub(crate) fn with_notes(&self, notes: ObjectId) -> Self {
        let Inner { store, tip, root, history, .. } = &*self.inner;
        let (store, history) = (store.clone(), history.clone());
        Self { inner: Arc::new(Inner { store, tip: *tip, root: *root, notes: Some(notes), history }) }
    }

    /// The newest commit of notes; `None` while there are none.
    pub(crate) fn notes(&self) -> Option<ObjectId> {
        self.inner.notes
    }

    /// Read when it is asked for: notes that somebody broke must not stand in the way of files.
    pub(crate) fn notes_root(&self) -> Result<Option<ObjectId>, GitError> {
        self.notes().map(|tip| Ok(self.inner.store.commit(tip)?.tree)).transpose()
    }
}

impl<'a> Tree<'a> {
    pub(crate) fn new(objects: &'a dyn Objects, root: Option<ObjectId>) -> Self {
        Self { objects, root }
    }

    /// The contents of a file; `None` when there is none at the path.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.find(path)? {
            Some((Mode::File | Mode::Executable, id)) => self.objects.blob(id).map(Some),
            _ => Ok(None),
        }
    }

    /// The entries of a directory in git's order; empty when there is none at the path.
    /// Names that are not UTF-8 and links are left out: nothing of ours has them.
    pub fn entries(&self, path: &str) -> Result<Vec<Entry>, GitError> {
        let Some((Mode::Directory, id)) = self.find(path)? else { return Ok(Vec::new()) };
        let raw = self.objects.tree(id)?;
        let mut entries = Vec::new();
        for entry in tree::entries(&raw) {
            let entry = entry?;
            let kind = match entry.mode {
                Mode::Directory => EntryKind::Directory,
                Mode::File | Mode::Executable => EntryKind::File,
                Mode::Other => continue,
            };
            if let Ok(name) = str::from_utf8(entry.name) {
                entries.push(Entry { name: name.to_owned(), kind, id: entry.id });
            }
        }
        Ok(entries)
    }

    /// The files of a directory that [`Tree::entries`] has named, found without its path.
    #[must_use]
    pub fn inside(&self, directory: &Entry) -> Self {
        Self { objects: self.objects, root: Some(directory.id) }
    }

    /// The id of the file or directory at the path: equal ids have equal contents.
    pub fn id(&self, path: &str) -> Result<Option<ObjectId>, GitError> {
        Ok(self.find(path)?.map(|(_, id)| id))
    }

    /// An empty path is the top of the repository.
    fn find(&self, path: &str) -> Result<Option<(Mode, ObjectId)>, GitError> {
        let Some(root) = self.root else { return Ok(None) };
        let mut found = (Mode::Directory, root);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if found.0 != Mode::Directory {
                return Ok(None);
            }
            let raw = self.objects.tree(found.1)?;
            match tree::find(&raw, name.as_bytes())? {
                Some(entry) => found = (entry.mode, entry.id),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}
