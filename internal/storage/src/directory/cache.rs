//! Summaries read lately.

use std::{fs::Metadata, io, sync::Arc, time::SystemTime};

use quick_cache::{Weighter, sync};
use release_core::Name;

use crate::Summary;

/// About this many bytes of specs are kept.
const MAX_BYTES: u64 = 32 << 20;

/// Tells one upload of an artifact from the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    length: u64,
}

pub(super) struct Cache(sync::Cache<(Name, Name), Entry, ByLength>);

#[derive(Clone)]
struct Entry {
    stamp: Stamp,
    summary: Arc<Summary>,
    spec_bytes: u64,
}

#[derive(Clone)]
struct ByLength;

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { modified: metadata.modified()?, length: metadata.len() })
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        Self(sync::Cache::with_weighter(10_000, MAX_BYTES, ByLength))
    }

    pub(super) fn get(&self, service: &Name, artifact_id: &Name, stamp: Stamp) -> Option<Arc<Summary>> {
        let entry = self.0.get(&(service.clone(), artifact_id.clone()))?;
        (entry.stamp == stamp).then_some(entry.summary)
    }

    pub(super) fn insert(&self, service: &Name, artifact_id: &Name, stamp: Stamp, summary: Arc<Summary>) {
        let spec_bytes = summary.spec.to_json().len() as u64;
        self.0.insert((service.clone(), artifact_id.clone()), Entry { stamp, summary, spec_bytes });
    }

    pub(super) fn remove(&self, service: &Name, artifact_id: &Name) {
        self.0.remove(&(service.clone(), artifact_id.clone()));
    }
}

impl Weighter<(Name, Name), Entry> for ByLength {
    fn weight(&self, _: &(Name, Name), entry: &Entry) -> u64 {
        entry.spec_bytes
    }
}
