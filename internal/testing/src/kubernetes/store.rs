//! What is there, what changed, and what is forgotten.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::kind::Kind;

/// Namespace and name.
pub(super) type Key = (String, String);

/// Lists that are being read in pages.
const SNAPSHOTS: usize = 100;

pub(super) struct Store {
    version: u64,
    collections: BTreeMap<Kind, Collection>,
    snapshots: VecDeque<Snapshot>,
    /// Longest history of a kind.
    longest: usize,
}

#[derive(Default)]
struct Collection {
    /// As JSON, without `apiVersion` and `kind`.
    objects: Arc<BTreeMap<Key, Bytes>>,
    history: VecDeque<Change>,
    /// Up to this version nobody knows what happened.
    forgotten: u64,
}

/// All objects of a kind at one moment.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) version: u64,
    kind: Kind,
    pub(super) objects: Arc<BTreeMap<Key, Bytes>>,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Added(Bytes),
    Modified { before: Bytes, now: Bytes },
    Deleted(Bytes),
    Bookmark,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    NotFound,
    AlreadyExists,
    /// Somebody else was faster.
    Conflict,
    /// In the server's words.
    Invalid(String),
}

/// The version that was asked for is older than what is remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Store {
    pub(super) fn new(kinds: Vec<Kind>, longest: usize) -> Self {
        let collections = kinds.into_iter().map(|kind| (kind, Collection::default())).collect();
        // Real clusters are never at the beginning.
        Self { version: 1000, collections, snapshots: VecDeque::new(), longest }
    }

    pub(super) fn define(&mut self, kind: Kind) {
        self.collections.entry(kind).or_default();
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.collections.keys()
    }

    pub(super) fn kind_called(&self, name: &str) -> Kind {
        let kind = self.kinds().find(|kind| kind.name == name);
        kind.unwrap_or_else(|| panic!("no kind '{name}'")).clone()
    }

    pub(super) fn get(&self, kind: &Kind, key: &Key) -> Option<Value> {
        self.collections[kind].objects.get(key).map(|body| typed(kind, body))
    }

    /// Creates or replaces it, with whatever is in it.
    pub(super) fn put(&mut self, object: Value) -> Result<Value, WriteError> {
        let kind = self.kind_called(object["kind"].as_str().unwrap_or_default());
        let key = key_of(&object)?;
        match self.get(&kind, &key) {
            Some(before) => self.replace(&kind, &key, &before, object),
            None => self.create(&kind, object),
        }
    }

    pub(super) fn create(&mut self, kind: &Kind, mut object: Value) -> Result<Value, WriteError> {
        let key = key_of(&object)?;
        if self.collections[kind].objects.contains_key(&key) {
            return Err(WriteError::AlreadyExists);
        }
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.version));
        metadata["creationTimestamp"] = json!("2026-11-21T10:00:00Z");
        metadata["generation"] = json!(1);
        let body = self.body(object);
        let change = What::Added(body.clone());
        self.record(kind, change, |objects| objects.insert(key, body.clone()));
        Ok(typed(kind, &body))
    }

    /// `before` is what is there. A resource version in `object` has to be its version.
    pub(super) fn replace(
        &mut self,
        kind: &Kind,
        key: &Key,
        before: &Value,
        mut object: Value,
    ) -> Result<Value, WriteError> {
        let (old, new) = (&before["metadata"], &mut object["metadata"]);
        if !new["resourceVersion"].is_null() && new["resourceVersion"] != old["resourceVersion"] {
            return Err(WriteError::Conflict);
        }
        for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
            new[field] = old[field].clone();
        }
        if object == *before {
            return Ok(object);
        }
        if object["spec"] != before["spec"] {
            object["metadata"]["generation"] = json!(old["generation"].as_u64().unwrap_or_default() + 1);
        }
        self.version += 1;
        let body = self.body(object);
        let before = self.collections[kind].objects[key].clone();
        let change = What::Modified { before, now: body.clone() };
        self.record(kind, change, |objects| objects.insert(key.clone(), body.clone()));
        Ok(typed(kind, &body))
    }

    pub(super) fn remove(&mut self, kind: &Kind, key: &Key) -> Result<Value, WriteError> {
        let object = self.get(kind, key).ok_or(WriteError::NotFound)?;
        self.version += 1;
        let body = self.body(object);
        self.record(kind, What::Deleted(body.clone()), |objects| objects.remove(key));
        Ok(typed(kind, &body))
    }

    /// As it is kept, with the newest version.
    fn body(&self, mut object: Value) -> Bytes {
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if let Some(fields) = object.as_object_mut() {
            fields.shift_remove("apiVersion");
            fields.shift_remove("kind");
        }
        object.to_string().into()
    }

    fn record<T>(&mut self, kind: &Kind, what: What, write: impl FnOnce(&mut BTreeMap<Key, Bytes>) -> T) {
        let collection = self.collections.get_mut(kind).expect("the kind was found");
        write(Arc::make_mut(&mut collection.objects));
        collection.remember(Change { version: self.version, what }, self.longest);
    }

    /// As if an object of some other kind had changed.
    pub(super) fn bookmark(&mut self) {
        self.version += 1;
        for collection in self.collections.values_mut() {
            collection.remember(Change { version: self.version, what: What::Bookmark }, self.longest);
        }
    }

    /// What anybody knows by now is too old.
    pub(super) fn forget(&mut self) {
        self.version += 1;
        for collection in self.collections.values_mut() {
            collection.history.clear();
            collection.forgotten = self.version;
        }
        self.snapshots.clear();
    }

    pub(super) fn snapshot(&self, kind: &Kind) -> Snapshot {
        let objects = self.collections[kind].objects.clone();
        Snapshot { version: self.version, kind: kind.clone(), objects }
    }

    /// For further pages.
    pub(super) fn keep(&mut self, snapshot: Snapshot) {
        self.snapshots.push_back(snapshot);
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.pop_front();
        }
    }

    pub(super) fn kept(&self, kind: &Kind, version: u64) -> Result<Snapshot, Gone> {
        let is_it = |snapshot: &&Snapshot| snapshot.version == version && snapshot.kind == *kind;
        self.snapshots.iter().find(is_it).cloned().ok_or(Gone)
    }

    /// At most `limit` changes after that version.
    pub(super) fn changes(&self, kind: &Kind, after: u64, limit: usize) -> Result<Vec<Change>, Gone> {
        let collection = &self.collections[kind];
        if after < collection.forgotten {
            return Err(Gone);
        }
        let first = collection.history.partition_point(|change| change.version <= after);
        Ok(collection.history.range(first..).take(limit).cloned().collect())
    }
}

impl Collection {
    fn remember(&mut self, change: Change, longest: usize) {
        self.history.push_back(change);
        while self.history.len() > longest {
            let forgotten = self.history.pop_front().expect("it is longer");
            self.forgotten = forgotten.version;
        }
    }
}

fn key_of(object: &Value) -> Result<Key, WriteError> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    match text("name") {
        name if name.is_empty() => Err(WriteError::Invalid("name is required".into())),
        name => Ok((text("namespace"), name)),
    }
}

fn typed(kind: &Kind, body: &Bytes) -> Value {
    serde_json::from_slice(&with_type(kind, body)).expect("it was written as JSON")
}

/// The object's JSON with its type, as a single object has it.
pub(super) fn with_type(kind: &Kind, body: &[u8]) -> Vec<u8> {
    let mut json = format!(r#"{{"apiVersion":"{}","kind":"{}","#, kind.api_version(), kind.name).into_bytes();
    json.extend_from_slice(&body[1..]);
    json
}
