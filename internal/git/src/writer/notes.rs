//! Writes the notes that wait: all of them in one commit, which is pushed when no
//! release waits. Where pushes are limited, it goes with one of releases.

use std::{
    collections::BTreeMap,
    mem,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use release_core::full_message;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Delivery, MAX_ATTEMPTS, MAX_BATCH, Target, Worker, WriteError, unix_time};
use crate::{GitError, Note, Noted, ObjectId, Snapshot, draft::Draft, note::NOTES, remote::Pushed};

/// How long notes are gathered for a push of their own: nobody waits for them as for a release.
const GATHERING: Duration = Duration::from_secs(1);
/// Pushes of notes take at most one part in so many of the time. The remote's git looks at all
/// trees of notes for each, for 0.2 s when there are 100,000 notes, and a release may come meanwhile.
const SHARE: u32 = 10;
/// How often it is looked whether a release that was announced is not coming after all.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After this time notes get a push between two of releases, if they may not go with those.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct PendingNote {
    pub(super) note: Note,
    pub(super) came: Instant,
    pub(super) answer: oneshot::Sender<Result<Noted, WriteError>>,
}

/// Notes that are not written yet.
#[derive(Default)]
pub(super) struct WaitingNotes {
    /// In the order in which they came.
    notes: Vec<PendingNote>,
    /// How often in a row others were faster.
    attempts: usize,
    /// How long the last push took.
    took: Duration,
    /// Whether the remote took a push of notes, and each since: one that it declines
    /// must not be a part of a push of releases.
    may_board: bool,
    is_declined: bool,
}

impl WaitingNotes {
    pub(super) fn push(&mut self, note: PendingNote) {
        self.notes.push(note);
    }

    /// As many as one commit may hold, of those that somebody still waits for.
    fn take(&mut self) -> Vec<PendingNote> {
        let mut notes = mem::take(&mut self.notes);
        notes.retain(|pending| !pending.answer.is_closed());
        self.notes = notes.split_off(notes.len().min(MAX_BATCH));
        notes
    }

    fn put_back(&mut self, mut notes: Vec<PendingNote>) {
        notes.append(&mut self.notes);
        self.notes = notes;
    }
}

/// Notes that go with a push of releases.
pub(super) struct Passengers {
    waiting: Vec<PendingNote>,
    noted: Vec<Noted>,
    pub(super) tip: ObjectId,
}

impl Worker {
    /// When the notes that wait are to be pushed, unless a release comes before.
    pub(super) fn notes_at(&mut self) -> Option<Instant> {
        let came = self.notes.notes.first()?.came;
        let now = Instant::now();
        let is_release_near = self.announced.load(Ordering::SeqCst) > 0 && came.elapsed() < PATIENCE;
        let gathering = (self.notes.took * SHARE).clamp(GATHERING, PATIENCE);
        let due = if is_release_near { now + LOOK_AGAIN } else { came + gathering };
        Some(due.max(now + self.pace.delay_of_notes(now)))
    }

    pub(super) fn write_due_notes(&mut self) {
        if self.notes_at().is_some_and(|at| at <= Instant::now()) {
            self.write_notes();
        }
    }

    /// Those that others were faster than stay for the next time: releases go first.
    fn write_notes(&mut self) {
        let waiting = self.notes.take();
        if waiting.is_empty() {
            return;
        }
        match self.try_notes(&waiting) {
            Ok(Some(noted)) => answer(waiting, noted.into_iter().map(Ok)),
            Ok(None) => self.retry_notes(waiting),
            Err(error) => refuse(waiting, &error),
        }
        self.poll_at = self.poll_at.min(Instant::now() + self.idle_time());
    }

    /// Called after each push of releases, however many more of them wait.
    pub(super) fn write_late_notes(&mut self) {
        let is_late = self.notes.notes.first().is_some_and(|first| first.came.elapsed() > PATIENCE);
        if is_late && self.pace.delay_of_notes(Instant::now()).is_zero() {
            self.write_notes();
        }
    }

    /// Before the end. What a limit of pushes stands against is not waited for.
    pub(super) fn write_last_notes(&mut self) {
        while !self.notes.notes.is_empty() {
            if !self.pace.delay_of_notes(Instant::now()).is_zero() {
                return refuse(mem::take(&mut self.notes.notes), &WriteError::Closed);
            }
            self.write_notes();
        }
    }

    fn retry_notes(&mut self, waiting: Vec<PendingNote>) {
        self.notes.attempts += 1;
        if self.notes.attempts < MAX_ATTEMPTS {
            return self.notes.put_back(waiting);
        }
        self.notes.attempts = 0;
        let reason = "the notes are changed by others all the time; try again in a moment";
        refuse(waiting, &WriteError::Unavailable(reason.to_owned()));
    }

    /// What became of each; `None` when the remote has other notes now, and they are fetched.
    fn try_notes(&mut self, waiting: &[PendingNote]) -> Result<Option<Vec<Noted>>, WriteError> {
        self.check_signer().map_err(WriteError::Unavailable)?;
        let shared = self.shared.clone();
        let base = shared.snapshot();
        let mut draft = Draft::new(&shared.store, None, None);
        let (noted, tip) = self.draft_notes(&base, &mut draft, waiting)?;
        let delivery = match tip {
            Some(tip) => self.deliver_notes(&base, tip, draft),
            None => self.confirm(Target::Notes, &base),
        };
        if !matches!(delivery, Delivery::Moved) {
            self.notes.attempts = 0;
        }
        match delivery {
            Delivery::Done => Ok(Some(noted)),
            Delivery::Moved => Ok(None),
            Delivery::Declined(reason) => Err(self.declined(reason)),
            Delivery::Unavailable(reason) => Err(WriteError::Unavailable(reason)),
        }
    }

    /// What becomes of each note, and the commit; `None` when none of them changes anything.
    fn draft_notes(
        &self,
        base: &Snapshot,
        draft: &mut Draft<'_>,
        waiting: &[PendingNote],
    ) -> Result<(Vec<Noted>, Option<ObjectId>), WriteError> {
        let (noted, texts) = apply(base, waiting)?;
        if texts.is_empty() {
            return Ok((noted, None));
        }
        let on = (base.notes(), base.notes_root()?);
        let tip = draft.commit_notes(on, &texts, &self.committer, unix_time(), self.signer.as_ref())?;
        Ok((noted, Some(tip)))
    }

    fn deliver_notes(&mut self, base: &Snapshot, tip: ObjectId, draft: Draft<'_>) -> Delivery {
        let update = Target::Notes.update(&self.shared, base, tip);
        let started = Instant::now();
        let pushed = self.push(&[update], &mut draft.finish());
        self.notes.took = started.elapsed();
        match pushed.map(|mut answers| answers.swap_remove(0)) {
            Ok(Pushed::Accepted) => match self.publish_notes(tip) {
                Ok(()) => Delivery::Done,
                Err(error) => Delivery::Unavailable(full_message(&error)),
            },
            Ok(Pushed::Refused(reason)) => self.after_refusal(Target::Notes, base, reason),
            Err(error) => self.after_failure(Target::Notes, base, tip, &error),
        }
    }

    fn publish_notes(&mut self, tip: ObjectId) -> Result<(), GitError> {
        self.notes.may_board = true;
        if mem::take(&mut self.notes.is_declined) {
            info!("the config repository's remote takes {NOTES} again");
        }
        self.shared.store.set_tip(NOTES, tip)?;
        self.shared.publish(self.shared.snapshot().with_notes(tip));
        Ok(())
    }

    /// Told once: releases go on without them.
    fn declined(&mut self, reason: String) -> WriteError {
        if !mem::replace(&mut self.notes.is_declined, true) {
            warn!(
                reason,
                "the config repository's remote declines {NOTES}, so what becomes of releases is not kept there; \
                 allow the server's account to push it"
            );
        }
        WriteError::Declined(reason)
    }

    /// Drafts the notes that go with a push of releases: where pushes are limited, one less
    /// is worth more than the time that they take.
    pub(super) fn board(&mut self, base: &Snapshot, draft: &mut Draft<'_>) -> Option<Passengers> {
        if !self.pace.is_limited() || !self.notes.may_board || self.notes.notes.is_empty() {
            return None;
        }
        let waiting = self.notes.take();
        let mut drafted = None;
        // A bug that a note meets must not stand in the way of releases.
        self.survive(|worker| drafted = Some(worker.draft_notes(base, draft, &waiting)));
        match drafted? {
            Ok((noted, Some(tip))) => return Some(Passengers { waiting, noted, tip }),
            // That there is nothing to do is for a look at the remote to confirm.
            Ok((_, None)) => self.notes.put_back(waiting),
            Err(error) => refuse(waiting, &error),
        }
        None
    }

    /// Answers the notes that went with a push if they arrived; else they go by themselves.
    pub(super) fn land(&mut self, passengers: Passengers, pushed: Option<&Pushed>) {
        if pushed == Some(&Pushed::Accepted) && self.publish_notes(passengers.tip).is_ok() {
            return answer(passengers.waiting, passengers.noted.into_iter().map(Ok));
        }
        self.notes.may_board = false;
        self.notes.put_back(passengers.waiting);
    }
}

/// What becomes of each note, one after the other, and the new texts.
fn apply(
    snapshot: &Snapshot,
    waiting: &[PendingNote],
) -> Result<(Vec<Noted>, BTreeMap<ObjectId, String>), GitError> {
    let mut texts: BTreeMap<ObjectId, String> = BTreeMap::new();
    let mut noted = Vec::new();
    for PendingNote { note, .. } in waiting {
        let old = match texts.get(&note.commit) {
            Some(text) => Some(text.clone()),
            None => snapshot.note(note.commit)?,
        };
        let new = (note.plan)(old.as_deref()).filter(|new| Some(new) != old.as_ref());
        noted.push(if new.is_some() { Noted::Written } else { Noted::Unchanged });
        texts.extend(new.map(|new| (note.commit, new)));
    }
    Ok((noted, texts))
}

fn answer(waiting: Vec<PendingNote>, results: impl IntoIterator<Item = Result<Noted, WriteError>>) {
    for (pending, result) in waiting.into_iter().zip(results) {
        // Whoever does not wait any more does not need the answer.
        let _ = pending.answer.send(result);
    }
}

fn refuse(waiting: Vec<PendingNote>, error: &WriteError) {
    answer(waiting, std::iter::repeat_with(|| Err(error.clone())));
}
