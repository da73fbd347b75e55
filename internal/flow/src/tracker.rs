//! How far each accepted release has come, in memory: what is durable is in the
//! broker and in git.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::{Mutex, MutexGuard},
};

use release_api::v1::{ReleaseState, ReleaseStatus};
use release_core::event::Release;
use tokio::sync::Notify;
use uuid::Uuid;

/// How many finished releases are remembered; older ones are found in git.
const MAX_FINISHED: usize = 10_000;
/// How many releases are remembered that wait, when others execute them.
const MAX_ELSEWHERE: usize = 10_000;

#[derive(Default)]
pub(crate) struct Tracker {
    inner: Mutex<Inner>,
    one_finished: Notify,
}

#[derive(Default)]
struct Inner {
    known: HashMap<Uuid, Tracked>,
    /// Unfinished releases in the order of acceptance.
    waiting: BTreeMap<u64, Uuid>,
    /// The same of each service and environment.
    places: HashMap<(String, String), BTreeMap<u64, Uuid>>,
    finished: VecDeque<Uuid>,
    accepted: u64,
}

struct Tracked {
    status: ReleaseStatus,
    number: u64,
    /// Whether the broker has it for certain.
    is_taken: bool,
    /// How many requests are handing it to the broker right now.
    offers: usize,
}

/// A release on its way to the broker. When it is dropped, because the broker refused or because whoever
/// asked has gone, the release is forgotten; unless somebody knows that the broker has it.
pub(crate) struct Offer<'a> {
    tracker: &'a Tracker,
    id: Uuid,
}

impl Offer<'_> {
    /// The broker has it.
    pub(crate) fn taken(self) {
        if let Some(tracked) = self.tracker.lock().known.get_mut(&self.id) {
            tracked.is_taken = true;
        }
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        let mut inner = self.tracker.lock();
        let Some(tracked) = inner.known.get_mut(&self.id) else { return };
        tracked.offers = tracked.offers.saturating_sub(1);
        if tracked.offers == 0 && !tracked.is_taken {
            inner.forget(self.id);
        }
    }
}

impl Tracked {
    fn new(release: &Release, number: u64) -> Self {
        let status = ReleaseStatus {
            release_id: release.release_id,
            service: release.service.to_string(),
            environment: release.environment.to_string(),
            artifact_id: release.artifact_id.to_string(),
            state: ReleaseState::Queued,
            queue_position: None,
            commit: None,
            message: None,
            rollout: None,
            superseded_by: None,
        };
        Self { status, number, is_taken: false, offers: 0 }
    }

    fn is_finished(&self) -> bool {
        self.status.state.is_final()
    }
}

impl Inner {
    /// One that failed and comes again was put back into the queue, perhaps at another server.
    fn add(&mut self, release: &Release) -> &mut Tracked {
        let id = release.release_id;
        if self.known.get(&id).is_some_and(|known| known.status.state == ReleaseState::Failed) {
            self.forget(id);
        }
        if !self.known.contains_key(&id) {
            self.accepted += 1;
            let tracked = Tracked::new(release, self.accepted);
            self.waiting.insert(self.accepted, id);
            self.places.entry(place(&tracked.status)).or_default().insert(self.accepted, id);
            self.known.insert(id, tracked);
        }
        self.known.get_mut(&id).expect("it was added")
    }

    fn forget(&mut self, id: Uuid) {
        if let Some(tracked) = self.known.remove(&id) {
            self.wait_no_longer(tracked.number, &tracked.status);
            self.finished.retain(|finished| *finished != id);
        }
    }
}

impl Tracker {
    /// A release came out of the broker.
    pub(crate) fn accept(&self, release: &Release) {
        self.lock().add(release).is_taken = true;
    }

    /// A release is about to be handed to the broker.
    pub(crate) fn offer(&self, release: &Release) -> Offer<'_> {
        self.lock().add(release).offers += 1;
        Offer { tracker: self, id: release.release_id }
    }

    /// Whether a release is known, and yet nobody knows whether the broker takes it.
    pub(crate) fn is_on_offer(&self, id: Uuid) -> bool {
        self.lock().known.get(&id).is_some_and(|tracked| !tracked.is_taken)
    }

    /// An operator took it out of the queue, or puts it back.
    pub(crate) fn forget(&self, id: Uuid) {
        self.lock().forget(id);
    }

    /// The release is being executed, or waits for the reason given. What is finished stays so.
    pub(crate) fn progress(&self, id: Uuid, state: ReleaseState, message: Option<String>) {
        let mut inner = self.lock();
        if let Some(tracked) = inner.known.get_mut(&id).filter(|tracked| !tracked.is_finished()) {
            tracked.status.state = state;
            tracked.status.message = message;
        }
    }

    /// Whether nothing more will happen to the release by itself.
    pub(crate) fn is_finished(&self, id: Uuid) -> bool {
        self.lock().known.get(&id).is_some_and(Tracked::is_finished)
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
        let Some(tracked) = inner.known.get_mut(&id).filter(|tracked| !tracked.is_finished()) else { return };
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
        drop(guard);
        self.one_finished.notify_waiters();
    }

    /// Waits until the release is finished. It never is, if others execute it.
    pub(crate) async fn finished(&self, id: Uuid) -> ReleaseState {
        loop {
            // Made before looking, so that a finish right after looking wakes it.
            let finished = self.one_finished.notified();
            match self.lock().known.get(&id) {
                Some(tracked) if tracked.is_finished() => return tracked.status.state,
                _ => {}
            }
            finished.await;
        }
    }

    /// Bounds how many releases are remembered that another server executes: the oldest of those that
    /// are neither finished nor `held` here are forgotten.
    pub(crate) fn forget_old(&self, held: impl Fn(Uuid) -> bool) {
        let mut inner = self.lock();
        let excess = inner.waiting.len().saturating_sub(MAX_ELSEWHERE);
        let old: Vec<Uuid> = inner.waiting.values().copied().take(excess).filter(|id| !held(*id)).collect();
        for id in old {
            inner.forget(id);
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

    /// The accepted releases to this place that are not finished: what runs there will change.
    pub(crate) fn waiting(&self, service: &str, environment: &str) -> Vec<Uuid> {
        let inner = self.lock();
        let here = inner.places.get(&(service.to_owned(), environment.to_owned()));
        here.into_iter().flat_map(BTreeMap::values).copied().collect()
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
        if let Entry::Occupied(mut here) = self.places.entry(place(status)) {
            here.get_mut().remove(&number);
            if here.get().is_empty() {
                here.remove();
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
            tracker.accept(release);
        }
        tracker.accept(&a);
        let position = |release: &Release| tracker.status(release.release_id).unwrap().queue_position;
        assert_eq!([position(&a), position(&b), position(&c)], [Some(0), Some(1), Some(2)]);
        assert_eq!(tracker.waiting("a", "dev"), [a.release_id]);
        assert!(tracker.waiting("a", "prod").is_empty());

        tracker.finish(a.release_id, ReleaseState::Released, Some("c0ffee".into()), None);
        tracker.forget(b.release_id);
        assert_eq!(position(&c), Some(0));
        assert!(tracker.waiting("a", "dev").is_empty());
        assert_eq!(tracker.status(a.release_id).unwrap().commit.as_deref(), Some("c0ffee"));
        assert_eq!(tracker.status(b.release_id), None);
    }

    #[test]
    fn what_is_finished_stays_so_until_a_failed_one_comes_again() {
        let (tracker, done, failed) = (Tracker::default(), release("a"), release("b"));
        for (release, state) in [(&done, ReleaseState::Released), (&failed, ReleaseState::Failed)] {
            tracker.accept(release);
            tracker.finish(release.release_id, state, None, None);
            tracker.progress(release.release_id, ReleaseState::Releasing, None);
            assert_eq!(tracker.status(release.release_id).unwrap().state, state);
        }
        tracker.accept(&done);
        assert!(tracker.is_finished(done.release_id));
        tracker.accept(&failed);
        assert!(!tracker.is_finished(failed.release_id));
        assert_eq!(tracker.waiting("b", "dev"), [failed.release_id]);
    }

    #[test]
    fn an_offer_that_comes_to_nothing_is_forgotten() {
        let (tracker, release) = (Tracker::default(), release("a"));
        let id = release.release_id;
        let (first, second) = (tracker.offer(&release), tracker.offer(&release));
        assert!(tracker.is_on_offer(id));
        assert_eq!(tracker.waiting("a", "dev"), [id], "it may change what runs");
        drop(first);
        assert!(tracker.status(id).is_some(), "another request hands it over");
        drop(second);
        assert_eq!(tracker.status(id), None);
        assert!(tracker.waiting("a", "dev").is_empty());
    }

    #[test]
    fn what_the_broker_has_stays_known_whatever_comes_of_other_offers() {
        let (tracker, answered, delivered) = (Tracker::default(), release("a"), release("b"));
        tracker.offer(&answered).taken();
        let offer = tracker.offer(&delivered);
        tracker.accept(&delivered);
        drop((offer, tracker.offer(&answered)));
        for release in [answered, delivered] {
            let id = release.release_id;
            assert!(tracker.status(id).is_some() && !tracker.is_on_offer(id));
        }
    }

    #[test]
    fn what_others_execute_is_forgotten_in_time() {
        let tracker = Tracker::default();
        let releases: Vec<_> = (0..MAX_ELSEWHERE + 2).map(|_| release("svc")).collect();
        for release in &releases {
            tracker.accept(release);
        }
        tracker.forget_old(|id| id == releases[0].release_id);
        assert!(tracker.status(releases[0].release_id).is_some(), "it is executed here");
        assert_eq!(tracker.status(releases[1].release_id), None);
        assert_eq!(tracker.lock().waiting.len(), MAX_ELSEWHERE + 1);
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
