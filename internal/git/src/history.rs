//! The index of releases: which commits released a service to an environment.
//!
//! Built once from all of history, advanced by what is new, and saved on disk
//! so that a restart reads only what is new. It holds commit ids only; what
//! they say is read from the commits.

use std::{fs, path::Path};

use imbl::{HashMap, Vector};
use release_core::commit_message::ReleaseMessage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{GitError, ObjectId, object::CommitData, store::ObjectStore};

/// Releases up to one commit. Cloning shares everything.
#[derive(Clone, Default)]
pub(crate) struct History {
    /// By `environment/service` in lower case; oldest first.
    releases: HashMap<String, Vector<ObjectId>>,
    by_release_id: HashMap<Uuid, ObjectId>,
}

impl History {
    /// Reads all of history.
    pub(crate) fn build(store: &ObjectStore, tip: Option<ObjectId>) -> Result<Self, GitError> {
        let mut history = Self::default();
        history.extend(store, None, tip)?;
        Ok(history)
    }

    /// Adds what is in `tip` and not in `known`.
    pub(crate) fn extend(
        &mut self,
        store: &ObjectStore,
        known: Option<ObjectId>,
        tip: Option<ObjectId>,
    ) -> Result<(), GitError> {
        let Some(tip) = tip else { return Ok(()) };
        let found = store.with(|repository| {
            let mut walk = repository.revwalk()?;
            walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME | git2::Sort::REVERSE)?;
            walk.push(tip.into())?;
            if let Some(known) = known {
                walk.hide(known.into())?;
            }
            let mut found = Vec::new();
            for id in walk {
                let id = id?;
                let commit = CommitData::from(&repository.find_commit(id)?);
                if let Some(message) = ReleaseMessage::parse(&commit.message) {
                    found.push((key(&message.environment, &message.service), id.into(), commit.release_id));
                }
            }
            Ok(found)
        })?;
        for (key, commit, release_id) in found {
            self.insert(key, commit, release_id);
        }
        Ok(())
    }

    /// Adds a commit that was just made; does nothing for one that is no release.
    pub(crate) fn add(&mut self, commit: ObjectId, message: &str, release_id: Option<Uuid>) {
        if let Some(message) = ReleaseMessage::parse(message) {
            self.insert(key(&message.environment, &message.service), commit, release_id);
        }
    }

    fn insert(&mut self, key: String, commit: ObjectId, release_id: Option<Uuid>) {
        self.releases.entry(key).or_default().push_back(commit);
        if let Some(release_id) = release_id {
            self.by_release_id.insert(release_id, commit);
        }
    }

    /// Oldest first.
    pub(crate) fn releases(&self, environment: &str, service: &str) -> Option<Vector<ObjectId>> {
        self.releases.get(&key(environment, service)).cloned()
    }

    /// Environment and service, in lower case, of everything that was ever released; in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.releases.keys().filter_map(|key| key.split_once('/'))
    }

    pub(crate) fn commit_of(&self, release_id: Uuid) -> Option<ObjectId> {
        self.by_release_id.get(&release_id).copied()
    }
}

fn key(environment: &str, service: &str) -> String {
    format!("{environment}/{service}").to_lowercase()
}

const FILE_NAME: &str = "release-history";
/// Changes whenever the format or the meaning of what is saved changes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    tip: Option<ObjectId>,
    releases: Vec<(String, Vec<ObjectId>)>,
    release_ids: Vec<([u8; 16], ObjectId)>,
}

/// Saves the index of the history up to `tip` inside the local copy.
pub(crate) fn save(directory: &Path, tip: Option<ObjectId>, history: &History) -> Result<(), GitError> {
    let path = directory.join(FILE_NAME);
    let saved = Saved {
        format: FORMAT,
        tip,
        releases: history
            .releases
            .iter()
            .map(|(k, ids)| (k.clone(), ids.iter().copied().collect()))
            .collect(),
        release_ids: history.by_release_id.iter().map(|(id, commit)| (id.into_bytes(), *commit)).collect(),
    };
    let mut bytes = postcard::to_stdvec(&saved).map_err(|_| GitError::Broken("history index"))?;
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let temporary = directory.join(format!("{FILE_NAME}.new"));
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path)).map_err(GitError::io(&path))
}

/// The saved index and the commit it leads up to; `None` when there is none that can be used.
pub(crate) fn load(directory: &Path) -> Option<(Option<ObjectId>, History)> {
    let bytes = fs::read(directory.join(FILE_NAME)).ok()?;
    let (payload, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(payload).to_le_bytes() != *checksum {
        return None;
    }
    let saved: Saved = postcard::from_bytes(payload).ok()?;
    if saved.format != FORMAT {
        return None;
    }
    let releases = saved.releases.into_iter().map(|(key, ids)| (key, ids.into_iter().collect())).collect();
    let by_release_id =
        saved.release_ids.into_iter().map(|(id, commit)| (Uuid::from_bytes(id), commit)).collect();
    Some((saved.tip, History { releases, by_release_id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;

    fn history() -> (ObjectId, Uuid, History) {
        let (commit, id) = (ObjectId::of(Kind::Blob, b"commit"), Uuid::from_u128(7));
        let mut history = History::default();
        history.add(commit, "[Dev/Svc] release master-1-2 by j@x.io", Some(id));
        history.add(commit, "fix the build", None);
        (commit, id, history)
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let (commit, id, history) = history();
        save(directory.path(), Some(commit), &history).unwrap();
        let (tip, loaded) = load(directory.path()).unwrap();
        assert_eq!(tip, Some(commit));
        assert_eq!(loaded.commit_of(id), Some(commit));
        assert_eq!(loaded.releases("dEv", "sVc").unwrap().len(), 1);
        assert!(loaded.releases("dev", "other").is_none());
        assert_eq!(loaded.places().collect::<Vec<_>>(), [("dev", "svc")]);
    }

    #[test]
    fn a_torn_or_changed_file_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load(directory.path()).is_none());
        let (commit, _, history) = history();
        save(directory.path(), Some(commit), &history).unwrap();
        let path = directory.path().join(FILE_NAME);
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(load(directory.path()).is_none(), "cut to {length} bytes");
        }
        let mut changed = good;
        changed[0] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(load(directory.path()).is_none());
    }
}
