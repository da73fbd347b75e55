//! How far each accepted release has come, in memory: what is durable is in the
//! broker and in git.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::{Mutex, MutexGuard},
};

use release_api::v1::{ReleaseState, ReleaseStatus};
use release_core::event::Release;
use uuid::Uuid;

/// How many finished releases are remembered; older ones are found in git.
const MAX_FINISHED: usize = 10_000;

#[derive(Default)]
pub(crate) struct Tracker {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: HashMap<Uuid, Tracked>,
    /// Unfinished releases in the order of acceptance.
    waiting: BTreeMap<u64, Uuid>,
    /// How many of them there are for each service and environment.
    places: HashMap<(String, String), usize>,
    finished: VecDeque<Uuid>,
    accepted: u64,
}

struct Tracked {
    status: ReleaseStatus,
    number: u64,
}

impl Tracker {
    /// A release is being accepted, or came out of the broker after a restart.
    /// `false` when it is known already.
    pub(crate) fn accept(&self, release: &Release) -> bool {
        let mut inner = self.lock();
        if inner.known.contains_key(&release.release_id) {
            return false;
        }
        inner.accepted += 1;
        let number = inner.accepted;
        let status = ReleaseStatus {
            release_id: release.release_id,
            service: release.service.to_string(),
            environment: release.environment.to_string(),
            artifact_id: release.artifact_id.to_string(),
            state: ReleaseState::Queued,
            queue_position: None,
            commit: None,
            message: None,
        };
        *inner.places.entry(place(&status)).or_default() += 1;
        inner.known.insert(release.release_id, Tracked { status, number });
        inner.waiting.insert(number, release.release_id);
        true
    }

    /// The broker did not take it after all, or an operator dropped it.
    pub(crate) fn forget(&self, id: Uuid) {
        let mut inner = self.lock();
        if let Some(tracked) = inner.known.remove(&id) {
            inner.wait_no_longer(tracked.number, &tracked.status);
            inner.finished.retain(|finished| *finished != id);
        }
    }

    /// The release is being executed, or waits for the reason given.
    pub(crate) fn progress(&self, id: Uuid, state: ReleaseState, message: Option<String>) {
        if let Some(tracked) = self.lock().known.get_mut(&id) {
            tracked.status.state = state;
            tracked.status.message = message;
        }
    }

    pub(crate) fn finish(
        &self,
        id: Uuid,
        state: ReleaseState,
        commit: Option<String>,
        message: Option<String>,
    ) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some(tracked) = inner.known.get_mut(&id) else { return };
        tracked.status.state = state;
        tracked.status.commit = commit;
        tracked.status.message = message;
        let (number, status) = (tracked.number, tracked.status.clone());
        inner.wait_no_longer(number, &status);
        inner.finished.push_back(id);
        if inner.finished.len() > MAX_FINISHED
            && let Some(oldest) = inner.finished.pop_front()
        {
            inner.known.remove(&oldest);
        }
    }

    pub(crate) fn status(&self, id: Uuid) -> Option<ReleaseStatus> {
        let inner = self.lock();
        let tracked = inner.known.get(&id)?;
        let mut status = tracked.status.clone();
        if status.state == ReleaseState::Queued {
            status.queue_position = Some(inner.waiting.range(..tracked.number).count());
        }
        Some(status)
    }

    /// Whether an accepted release to this place is not finished: what runs there will change.
    pub(crate) fn is_waiting(&self, service: &str, environment: &str) -> bool {
        self.lock().places.contains_key(&(service.to_owned(), environment.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}

impl Inner {
    fn wait_no_longer(&mut self, number: u64, status: &ReleaseStatus) {
        if self.waiting.remove(&number).is_none() {
            return;
        }
        if let Entry::Occupied(mut count) = self.places.entry(place(status)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn place(status: &ReleaseStatus) -> (String, String) {
    (status.service.clone(), status.environment.clone())
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use release_core::{Intent, Name, Person};

    use super::*;

    fn release(service: &str) -> Release {
        let name = |name: &str| Name::new(name).unwrap();
        Release {
            release_id: Uuid::new_v4(),
            service: name(service),
            environment: name("dev"),
            namespace: name("dev"),
            artifact_id: name("master-1"),
            branch: "master".into(),
            actor: Person::default(),
            intent: Intent::ReleaseArtifact,
            enqueued_at: Utc::now(),
        }
    }

    #[test]
    fn positions_count_what_is_in_front_and_not_finished() {
        let (tracker, a, b, c) = (Tracker::default(), release("a"), release("b"), release("c"));
        for release in [&a, &b, &c] {
            assert!(tracker.accept(release));
        }
        assert!(!tracker.accept(&a), "known");
        let position = |release: &Release| tracker.status(release.release_id).unwrap().queue_position;
        assert_eq!([position(&a), position(&b), position(&c)], [Some(0), Some(1), Some(2)]);
        assert!(tracker.is_waiting("a", "dev") && !tracker.is_waiting("a", "prod"));

        tracker.finish(a.release_id, ReleaseState::Released, Some("c0ffee".into()), None);
        tracker.forget(b.release_id);
        assert_eq!(position(&c), Some(0));
        assert!(!tracker.is_waiting("a", "dev"));
        assert_eq!(tracker.status(a.release_id).unwrap().commit.as_deref(), Some("c0ffee"));
        assert_eq!(tracker.status(b.release_id), None);
    }

    #[test]
    fn memory_is_bounded() {
        let tracker = Tracker::default();
        let first = release("svc");
        tracker.accept(&first);
        tracker.finish(first.release_id, ReleaseState::Released, None, None);
        for _ in 0..MAX_FINISHED {
            let release = release("svc");
            tracker.accept(&release);
            tracker.finish(release.release_id, ReleaseState::Released, None, None);
        }
        assert_eq!(tracker.status(first.release_id), None);
        assert_eq!(tracker.lock().known.len(), MAX_FINISHED);
    }
}
