//! What was read lately of each artifact.

use quick_cache::{Weighter, sync};
use release_core::Name;

/// A bounded cache. The stamp of an entry tells one upload of an artifact from the next.
pub(crate) struct Cache<S, V>(sync::Cache<(Name, Name), Entry<S, V>, ByBytes>);

#[derive(Clone)]
struct Entry<S, V> {
    stamp: S,
    value: V,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl<S: Clone + PartialEq, V: Clone> Cache<S, V> {
    /// Keeps about this many bytes.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self(sync::Cache::with_weighter(10_000, max_bytes, ByBytes))
    }

    /// What was read of exactly this upload.
    pub(crate) fn get(&self, service: &Name, artifact_id: &Name, stamp: &S) -> Option<V> {
        let (found, value) = self.latest(service, artifact_id)?;
        (found == *stamp).then_some(value)
    }

    /// What was read last, of whichever upload.
    pub(crate) fn latest(&self, service: &Name, artifact_id: &Name) -> Option<(S, V)> {
        let entry = self.0.get(&(service.clone(), artifact_id.clone()))?;
        Some((entry.stamp, entry.value))
    }

    pub(crate) fn insert(&self, service: &Name, artifact_id: &Name, stamp: S, value: V, bytes: usize) {
        let entry = Entry { stamp, value, bytes: bytes as u64 };
        self.0.insert((service.clone(), artifact_id.clone()), entry);
    }

    pub(crate) fn remove(&self, service: &Name, artifact_id: &Name) {
        self.0.remove(&(service.clone(), artifact_id.clone()));
    }
}

impl<S, V> Weighter<(Name, Name), Entry<S, V>> for ByBytes {
    fn weight(&self, _: &(Name, Name), entry: &Entry<S, V>) -> u64 {
        entry.bytes
    }
}
