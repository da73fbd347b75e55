//! Writes the notes that wait: all of them in one commit and one push, and only
//! when no release waits for a push.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use release_core::full_message;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::{Delivery, MAX_ATTEMPTS, MAX_BATCH, Target, Worker, WriteError, unix_time};
use crate::{GitError, Note, Noted, ObjectId, Snapshot, draft::Draft, note::NOTES, remote::Pushed};

/// How long notes are gathered for one push: nobody waits for them as for a release.
const GATHERING: Duration = Duration::from_secs(1);

pub(super) struct PendingNote {
    pub(super) note: Note,
    pub(super) answer: oneshot::Sender<Result<Noted, WriteError>>,
}

/// Notes that are not written yet.
#[derive(Default)]
pub(super) struct WaitingNotes {
    notes: Vec<PendingNote>,
    /// When the first of them came.
    since: Option<Instant>,
    /// How often in a row others were faster.
    attempts: usize,
    is_declined: bool,
}

impl WaitingNotes {
    pub(super) fn push(&mut self, note: PendingNote) {
        self.since.get_or_insert_with(Instant::now);
        self.notes.push(note);
    }

    /// As many as one commit may hold, of those that somebody still waits for.
    fn take(&mut self) -> Vec<PendingNote> {
        let mut notes = mem::take(&mut self.notes);
        notes.retain(|pending| !pending.answer.is_closed());
        if notes.len() > MAX_BATCH {
            self.notes = notes.split_off(MAX_BATCH);
        } else {
            self.since = None;
        }
        notes
    }

    /// For the next push, before those that came after them.
    fn put_back(&mut self, mut notes: Vec<PendingNote>) {
        notes.append(&mut self.notes);
        self.notes = notes;
        self.since = Some(Instant::now() - GATHERING);
    }
}

impl Worker {
    /// When the notes that wait are to be pushed, unless a release comes before.
    pub(super) fn notes_at(&mut self) -> Option<Instant> {
        let since = self.notes.since?;
        let now = Instant::now();
        Some((since + GATHERING).max(now + self.pace.delay_of_notes(now)))
    }

    /// Those that others were faster than stay for the next time: releases go first.
    pub(super) fn write_notes(&mut self) {
        let waiting = self.notes.take();
        if waiting.is_empty() {
            return;
        }
        match self.try_notes(&waiting) {
            Ok(None) => self.retry_notes(waiting),
            Ok(Some(noted)) => answer(waiting, noted.into_iter().map(Ok)),
            Err(error) => refuse(waiting, &error),
        }
        self.poll_at = self.poll_at.min(Instant::now() + self.idle_time());
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
        let snapshot = shared.snapshot();
        let (noted, texts) = apply(&snapshot, waiting)?;
        let delivery = if texts.is_empty() {
            self.confirm(Target::Notes, &snapshot)
        } else {
            let mut draft = Draft::new(&shared.store, snapshot.notes(), snapshot.notes_root()?);
            draft.commit_notes(&texts, &self.committer, unix_time(), self.signer.as_ref())?;
            self.deliver_notes(&snapshot, draft)
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

    fn deliver_notes(&mut self, base: &Snapshot, draft: Draft<'_>) -> Delivery {
        let Some(tip) = draft.new_tip() else { return Delivery::Done };
        let (mut pack, _) = draft.finish();
        let started = Instant::now();
        self.pace.pushed(started);
        let pushed = self.push(Target::Notes, base, tip, &mut pack);
        debug!(seconds = started.elapsed().as_secs_f64(), "pushed notes");
        match pushed {
            Ok(Pushed::Accepted) => match self.publish_notes(base, tip) {
                Ok(()) => Delivery::Done,
                Err(error) => Delivery::Unavailable(full_message(&error)),
            },
            Ok(Pushed::Refused(reason)) => self.after_refusal(Target::Notes, base, reason),
            Err(error) => self.after_failure(Target::Notes, base, tip, &error),
        }
    }

    fn publish_notes(&mut self, base: &Snapshot, tip: ObjectId) -> Result<(), GitError> {
        if mem::take(&mut self.notes.is_declined) {
            info!("the config repository's remote takes {NOTES} again");
        }
        self.shared.store.set_tip(NOTES, tip)?;
        self.shared.publish(base.with_notes(tip));
        Ok(())
    }

    /// Told once: releases go on without them.
    fn declined(&mut self, reason: String) -> WriteError {
        if !mem::replace(&mut self.notes.is_declined, true) {
            warn!(
                reason,
                "the config repository's remote declines {NOTES}; what becomes of releases is not kept there. \
                 Allow the server's account to push it"
            );
        }
        WriteError::Declined(reason)
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
