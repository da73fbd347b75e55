//! Commits that are not written yet: trees spliced in memory, one commit on top of the other.

mod notes;

use std::{collections::HashMap, collections::hash_map::Entry, sync::Arc};

use bytes::Bytes;
use release_core::{Person, name::check_component};
use uuid::Uuid;

use crate::{
    GitError, ObjectId,
    object::{Kind, NewCommit},
    pack::{FinishedPack, Pack},
    signing::{Signer, SigningError, with_signature},
    snapshot::Tree,
    store::{ObjectStore, Objects},
    tree::{self, Mode},
};

/// What one commit changes, and its message.
#[derive(Debug, Clone)]
pub struct Edit {
    pub message: String,
    pub author: Person,
    pub operations: Vec<Operation>,
}

/// A change of files. Paths are relative to the top of the repository, `/`-separated.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The directory has these files afterwards and no others. File paths are relative to it.
    ReplaceDirectory {
        path: String,
        files: Vec<File>,
    },
    PutFile {
        path: String,
        contents: Bytes,
        executable: bool,
    },
    /// Removes a file or a directory, and the directories that are empty then.
    Remove {
        path: String,
    },
}

/// A file in [`Operation::ReplaceDirectory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub contents: Bytes,
    pub executable: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error("the path '{0}' is not allowed in the config repository")]
    Path(String),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// A stack of new commits on top of a commit of the store.
pub(crate) struct Draft<'a> {
    store: &'a ObjectStore,
    pack: Pack,
    trees: HashMap<ObjectId, Arc<[u8]>>,
    blobs: HashMap<ObjectId, Bytes>,
    root: Option<ObjectId>,
    tip: Option<ObjectId>,
    commits: Vec<DraftedCommit>,
}

/// What the history index needs to know of a commit.
pub(crate) struct DraftedCommit {
    pub(crate) id: ObjectId,
    pub(crate) message: String,
    pub(crate) release_id: Option<Uuid>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(store: &'a ObjectStore, tip: Option<ObjectId>, root: Option<ObjectId>) -> Self {
        Self {
            store,
            pack: Pack::default(),
            trees: HashMap::new(),
            blobs: HashMap::new(),
            root,
            tip,
            commits: Vec::new(),
        }
    }

    /// The files as the commits drafted so far leave them.
    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree::new(self, self.root)
    }

    /// The size of all objects drafted so far, compressed, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.pack.len()
    }

    /// The newest of the drafted commits; `None` when there are none.
    pub(crate) fn new_tip(&self) -> Option<ObjectId> {
        self.commits.last().map(|commit| commit.id)
    }

    /// Adds one commit, signed if there is a signer; `None` when the edit changes nothing. After an error the draft is as before.
    pub(crate) fn commit(
        &mut self,
        edit: &Edit,
        committer: &Person,
        time: i64,
        release_id: Option<Uuid>,
        signer: Option<&Signer>,
    ) -> Result<Option<ObjectId>, DraftError> {
        let mut root = self.root;
        for operation in &edit.operations {
            root = self.apply(root, operation)?;
        }
        if root == self.root {
            return Ok(None);
        }
        self.commit_root(root, edit, committer, time, release_id, signer).map(Some)
    }

    /// Adds one commit of these files, whose author and message are the edit's.
    fn commit_root(
        &mut self,
        root: Option<ObjectId>,
        edit: &Edit,
        committer: &Person,
        time: i64,
        release_id: Option<Uuid>,
        signer: Option<&Signer>,
    ) -> Result<ObjectId, DraftError> {
        let tree = match root {
            Some(root) => root,
            None => self.write_tree(&[], None),
        };
        let (author, message) = (&edit.author, edit.message.as_str());
        let mut commit =
            NewCommit { tree, parent: self.tip, author, committer, time, release_id, message }.encode();
        if let Some(signer) = signer {
            commit = with_signature(&commit, &signer.sign(&commit, time)?);
        }
        let id = ObjectId::of(Kind::Commit, &commit);
        self.pack.add(Kind::Commit, id, &commit);
        self.root = root;
        self.tip = Some(id);
        self.commits.push(DraftedCommit { id, message: edit.message.clone(), release_id });
        Ok(id)
    }

    /// The commits of this stack, oldest first. What comes next is on top of another
    /// commit, and its objects are in the same pack.
    pub(crate) fn end_stack(&mut self) -> Vec<DraftedCommit> {
        std::mem::take(&mut self.commits)
    }

    /// The objects of all commits.
    pub(crate) fn finish(self) -> FinishedPack {
        self.pack.finish()
    }

    fn apply(
        &mut self,
        root: Option<ObjectId>,
        operation: &Operation,
    ) -> Result<Option<ObjectId>, DraftError> {
        match operation {
            Operation::ReplaceDirectory { path, files } => {
                let files = files.iter().map(|file| Ok((components(&file.path)?, file)));
                let files = files.collect::<Result<Vec<_>, DraftError>>()?;
                let path = components(path)?;
                let (directory, name) = self.tree_around(root, &path)?;
                let old = tree::find(&directory, name)?.filter(|entry| entry.mode == Mode::Directory);
                let old = old.map(|entry| entry.id);
                let new = self.write_directory(&files, old)?.map(|id| (Mode::Directory, id));
                self.set(root, &path, new)
            }
            Operation::PutFile { path, contents, executable } => {
                let path = components(path)?;
                let (directory, name) = self.tree_around(root, &path)?;
                let file = self.write_blob(contents, *executable, name, &directory)?;
                self.set(root, &path, Some(file))
            }
            Operation::Remove { path } => self.set(root, &components(path)?, None),
        }
    }

    /// The tree with the entry at `path` set or removed; `None` when nothing is left of it.
    fn set(
        &mut self,
        tree: Option<ObjectId>,
        path: &[&str],
        value: Option<(Mode, ObjectId)>,
    ) -> Result<Option<ObjectId>, DraftError> {
        let [name, rest @ ..] = path else { return Err(DraftError::Path(String::new())) };
        let raw = self.tree_or_empty(tree)?;
        let old = tree::find(&raw, name.as_bytes())?.map(|entry| (entry.mode, entry.id));
        let new = if rest.is_empty() {
            value
        } else {
            let child = old.filter(|(mode, _)| *mode == Mode::Directory).map(|(_, id)| id);
            self.set(child, rest, value)?.map(|id| (Mode::Directory, id))
        };
        // A file in the way of a path that is to be removed stays.
        if new == old || (value.is_none() && new.is_none() && !rest.is_empty() && !is_directory(old)) {
            return Ok(tree);
        }
        let new_raw = tree::with_entry(&raw, name.as_bytes(), new)?;
        if new_raw.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.write_tree(&new_raw, tree.map(|id| (id, &*raw)))))
    }

    /// The tree that the path's last name is in, empty when there is none, and that name.
    fn tree_around<'p>(
        &self,
        root: Option<ObjectId>,
        path: &[&'p str],
    ) -> Result<(Arc<[u8]>, &'p [u8]), DraftError> {
        let [directories @ .., name] = path else { return Err(DraftError::Path(String::new())) };
        let mut id = root;
        for directory in directories {
            let Some(parent) = id else { break };
            let raw = Objects::tree(self, parent)?;
            let entry = tree::find(&raw, directory.as_bytes())?;
            id = entry.filter(|entry| entry.mode == Mode::Directory).map(|entry| entry.id);
        }
        Ok((self.tree_or_empty(id)?, name.as_bytes()))
    }

    fn tree_or_empty(&self, id: Option<ObjectId>) -> Result<Arc<[u8]>, GitError> {
        id.map_or_else(|| Ok(Arc::default()), |id| Objects::tree(self, id))
    }

    /// Writes files below one directory, of which there is an old one; `None` for no files.
    fn write_directory(
        &mut self,
        files: &[(Vec<&str>, &File)],
        old: Option<ObjectId>,
    ) -> Result<Option<ObjectId>, DraftError> {
        let old_raw = self.tree_or_empty(old)?;
        let mut entries = Vec::new();
        let mut subdirectories: HashMap<&str, Vec<(Vec<&str>, &File)>> = HashMap::new();
        for (path, file) in files {
            match path.as_slice() {
                [name] => {
                    let name = name.as_bytes();
                    let (mode, id) = self.write_blob(&file.contents, file.executable, name, &old_raw)?;
                    entries.push((name, mode, id));
                }
                [name, rest @ ..] => subdirectories.entry(name).or_default().push((rest.to_vec(), *file)),
                [] => return Err(DraftError::Path(file.path.clone())),
            }
        }
        for (name, files) in subdirectories {
            let old = tree::find(&old_raw, name.as_bytes())?;
            let old = old.filter(|entry| entry.mode == Mode::Directory).map(|entry| entry.id);
            if let Some(id) = self.write_directory(&files, old)? {
                entries.push((name.as_bytes(), Mode::Directory, id));
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.write_tree(&tree::from_entries(entries), old.map(|id| (id, &*old_raw)))))
    }

    /// What was at the same place before is in the store, and on the remote; whatever
    /// else is there already is not looked for, because that takes longer than writing it twice.
    fn write_tree(&mut self, raw: &[u8], old: Option<(ObjectId, &[u8])>) -> ObjectId {
        let id = ObjectId::of(Kind::Tree, raw);
        if old.is_some_and(|(old, _)| old == id) {
            return id;
        }
        if let Entry::Vacant(vacant) = self.trees.entry(id) {
            vacant.insert(raw.into());
            match old {
                Some(old) => self.pack.add_similar(Kind::Tree, id, raw, old),
                None => self.pack.add(Kind::Tree, id, raw),
            }
        }
        id
    }

    fn write_blob(
        &mut self,
        contents: &Bytes,
        executable: bool,
        name: &[u8],
        old: &[u8],
    ) -> Result<(Mode, ObjectId), GitError> {
        let id = ObjectId::of(Kind::Blob, contents);
        let is_there = tree::find(old, name)?.is_some_and(|entry| entry.id == id);
        if !is_there && let Entry::Vacant(vacant) = self.blobs.entry(id) {
            vacant.insert(contents.clone());
            self.pack.add(Kind::Blob, id, contents);
        }
        Ok((if executable { Mode::Executable } else { Mode::File }, id))
    }
}

impl Objects for Draft<'_> {
    fn tree(&self, id: ObjectId) -> Result<Arc<[u8]>, GitError> {
        self.trees.get(&id).cloned().map_or_else(|| self.store.tree(id), Ok)
    }

    fn blob(&self, id: ObjectId) -> Result<Vec<u8>, GitError> {
        self.blobs.get(&id).map_or_else(|| self.store.blob(id), |contents| Ok(contents.to_vec()))
    }
}

fn is_directory(entry: Option<(Mode, ObjectId)>) -> bool {
    entry.is_some_and(|(mode, _)| mode == Mode::Directory)
}

/// The last line of defence: whoever made the path has checked it already.
fn components(path: &str) -> Result<Vec<&str>, DraftError> {
    let components: Vec<&str> = path.split('/').collect();
    if components.iter().any(|name| check_component(name).is_err()) {
        return Err(DraftError::Path(path.to_owned()));
    }
    Ok(components)
}
