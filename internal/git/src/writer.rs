//! The one writer to the config repository: takes the changes that wait, makes
//! one commit for each, and pushes all of them at once.
//!
//! A change is a pure function of the files it finds. When the remote has moved
//! it runs again on what is there now; nothing is ever merged. An answer is
//! given only after the remote has accepted the push.

mod notes;

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::RngExt;
use release_core::{Person, full_message};
use tokio::sync::oneshot;
use tracing::{Span, debug, error, info_span, warn};
use uuid::Uuid;

use self::notes::{PendingNote, WaitingNotes};
use crate::{
    Edit, GitError, Note, Noted, ObjectId, Options, Snapshot, Tree,
    draft::{Draft, DraftError, DraftedCommit},
    maintenance::Maintenance,
    note::NOTES,
    pack::FinishedPack,
    receive_pack::Update,
    remote::Pushed,
    repository::{Shared, reference},
    signing::Signer,
};

/// Bounds the memory of a batch and the time that its first member waits for its last.
const MAX_BATCH: usize = 500;
/// Fewer changes than this are not ready sooner: their number is not what takes the time.
const MIN_BATCH_LIMIT: usize = 50;
/// How long a push is held up at most for changes that are announced.
const MAX_GATHERING: Duration = Duration::from_millis(50);
/// How often it is looked whether one that was announced is not coming after all.
const GATHERING_STEP: Duration = Duration::from_millis(1);
/// How often in a row a batch is made again because the remote moved meanwhile.
const MAX_ATTEMPTS: usize = 100;
/// What any interval is brought into, so that it neither busies the machine nor overflows.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_hours(24);
/// The size of the objects of one batch, in bytes: a batch ends with the change that exceeds it.
const MAX_BATCH_BYTES: usize = 256 << 20;
/// After so many declined pushes in a row the remote is taken to decline
/// everything, and a batch is not searched for a culprit any more. Finding one takes fewer.
const MAX_DECLINES: usize = 20;
/// How often a remote that is away is looked for.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Something to write.
pub struct Change {
    /// The release that this is. A change whose id is in history already is not made again.
    pub release_id: Option<Uuid>,
    /// Looks at the files and says what to commit. May run several times, on newer files.
    pub plan: Box<Planner>,
}

/// Pure: the same files give the same plan.
pub type Planner = dyn Fn(&Tree<'_>) -> Result<Plan, PlanError> + Send;

/// Why a change cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// What the change wants is not allowed; the sentence is for its author.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Git(#[from] GitError),
}

/// What a change wants to be done.
pub enum Plan {
    Commit(Edit),
    /// The files are already as they should be.
    Nothing,
}

/// What became of a change. Everything here is on the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed(ObjectId),
    /// Nothing had to be done.
    Unchanged,
}

/// Why a change was not written. Nothing of it is on the remote, except after
/// [`WriteError::Unavailable`], where the push may have arrived all the same:
/// writing the same release id again finds out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// By the change itself.
    #[error("{0}")]
    Refused(String),
    /// The remote takes pushes, but not this change: a hook declined it.
    #[error("the config repository's remote declined the commit: {0}")]
    Declined(String),
    /// The remote is away; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
}

/// Hands changes to the writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    thread: Arc<Mutex<Option<WriterThread>>>,
    announced: Arc<AtomicUsize>,
}

/// A change that is being prepared. The writer holds a push that is due up for
/// it, for a moment: fewer pushes are faster for all. A lone change waits for nobody.
pub struct Announced {
    writer: Writer,
}

struct WriterThread {
    requests: Sender<Request>,
    handle: JoinHandle<()>,
}

enum Request {
    Change(Pending),
    Note(PendingNote),
    Fetch(oneshot::Sender<Result<(), String>>),
}

struct Pending {
    change: Change,
    /// Whoever waits for it.
    span: Span,
    answer: oneshot::Sender<Result<Outcome, WriteError>>,
}

impl Writer {
    pub(crate) fn start(shared: Arc<Shared>, options: &Options) -> Self {
        let (requests, receiver) = mpsc::channel();
        let announced = Arc::<AtomicUsize>::default();
        let mut worker = Worker {
            batch_limit: MAX_BATCH,
            declines: 0,
            announced: announced.clone(),
            maintenance: Maintenance::new(shared.clone()),
            shared,
            committer: options.committer.clone(),
            signer: options.signing.clone().map(Signer::new),
            poll_interval: options.poll_interval,
            poll_at: Instant::now(),
            notes: WaitingNotes::default(),
            pace: Pace::new(options.max_pushes_per_minute),
            on_push: options.on_push.clone(),
        };
        // A failure is noted as a problem already.
        let _ = worker.check_signer();
        let thread = std::thread::Builder::new().name("git-writer".to_owned());
        let handle = thread.spawn(move || worker.run(&receiver)).expect("the system can start a thread");
        Self { thread: Arc::new(Mutex::new(Some(WriterThread { requests, handle }))), announced }
    }

    /// Says that a change will come soon, or not after all when this is dropped.
    pub fn announce(&self) -> Announced {
        self.announced.fetch_add(1, Ordering::SeqCst);
        Announced { writer: self.clone() }
    }

    /// Writes a change and waits until the remote has it.
    pub async fn write(&self, change: Change) -> Result<Outcome, WriteError> {
        self.announce().write(change).await
    }

    /// Writes a note and waits until the remote has it. Releases go first. Many notes share a commit.
    pub async fn note(&self, note: Note) -> Result<Noted, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Note(PendingNote { note, came: Instant::now(), answer }))?;
        answered.await.unwrap_or_else(|_| Err(broke()))
    }

    /// Looks at the remote now and waits until the newest snapshot is of what is there.
    pub async fn fetch(&self) -> Result<(), WriteError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Fetch(answer))?;
        answered.await.map_err(|_| WriteError::Closed)?.map_err(WriteError::Unavailable)
    }

    /// Finishes what was handed over, saves the index and ends the thread. Blocks.
    pub fn close(&self) {
        let thread = self.thread.lock().expect("no panic while held").take();
        if let Some(WriterThread { requests, handle }) = thread {
            drop(requests);
            if handle.join().is_err() {
                error!("the writer of the config repository panicked");
            }
        }
    }

    fn send(&self, request: Request) -> Result<(), WriteError> {
        let thread = self.thread.lock().expect("no panic while held");
        let thread = thread.as_ref().ok_or(WriteError::Closed)?;
        thread.requests.send(request).map_err(|_| WriteError::Closed)
    }
}

impl Announced {
    /// Writes the change and waits until the remote has it.
    pub async fn write(self, change: Change) -> Result<Outcome, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.writer.send(Request::Change(Pending { change, span: Span::current(), answer }))?;
        // It is there now; nobody has to wait for it.
        drop(self);
        answered.await.unwrap_or_else(|_| Err(broke()))
    }
}

/// An orderly end answers everything: only a panic drops an answer.
fn broke() -> WriteError {
    WriteError::Unavailable("writing to the config repository broke; the log has the cause".to_owned())
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.writer.announced.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Worker {
    /// The most changes in one batch: fewer after others were faster, because a small
    /// batch is ready sooner; more again after it was in time.
    batch_limit: usize,
    /// Declined pushes since the last accepted one.
    declines: usize,
    announced: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    committer: Person,
    signer: Option<Signer>,
    poll_interval: Duration,
    /// When the remote is looked at if nothing else is done there before.
    poll_at: Instant,
    notes: WaitingNotes,
    pace: Pace,
    on_push: Arc<dyn Fn(usize) + Send + Sync>,
    maintenance: Maintenance,
}

/// A change with what the draft made of it.
type Drafted = (Pending, Result<Outcome, WriteError>);

/// What a push goes to.
#[derive(Clone, Copy)]
enum Target {
    Branch,
    Notes,
}

impl Target {
    fn update(self, shared: &Shared, base: &Snapshot, new: ObjectId) -> Update {
        let reference = match self {
            Self::Branch => reference(&shared.branch),
            Self::Notes => NOTES.to_owned(),
        };
        Update { reference, old: self.tip(base), new }
    }

    fn tip(self, snapshot: &Snapshot) -> Option<ObjectId> {
        match self {
            Self::Branch => snapshot.tip(),
            Self::Notes => snapshot.notes(),
        }
    }
}

/// What a push of a draft came to.
enum Delivery {
    Done,
    /// The remote has other commits now, and they are fetched.
    Moved,
    Declined(String),
    Unavailable(String),
}

impl Worker {
    fn run(&mut self, requests: &Receiver<Request>) {
        self.poll_at = Instant::now() + self.idle_time();
        loop {
            let (now, notes_at) = (Instant::now(), self.notes_at());
            let until = notes_at.map_or(self.poll_at, |at| at.min(self.poll_at));
            match requests.recv_timeout(until.saturating_duration_since(now)) {
                Ok(Request::Note(note)) => self.notes.push(note),
                Ok(first) => {
                    self.survive(|worker| worker.serve(first, requests));
                    self.survive(Self::write_late_notes);
                }
                Err(RecvTimeoutError::Timeout) if self.poll_at <= until => self.poll(),
                Err(RecvTimeoutError::Timeout) => self.survive(Self::write_due_notes),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.maintenance.tick();
        }
        self.survive(Self::write_last_notes);
        self.shared.remote.finish_push();
        self.maintenance.finish();
        self.shared.remote.disconnect();
    }

    /// A bug that one change meets must not end the writing of all others.
    fn survive(&mut self, write: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| write(self))).is_err() {
            error!("writing to the config repository panicked; those who waited try again");
        }
    }

    /// Failures are noted as problems.
    fn poll(&mut self) {
        let _ = self.shared.fetch();
        let _ = self.check_signer();
        self.poll_at = Instant::now() + self.idle_time();
    }

    /// Also while nobody writes, so that a key that has expired is known before.
    fn check_signer(&mut self) -> Result<(), String> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let checked = signer.check(unix_time()).map_err(|error| full_message(&error));
        self.shared.health.signing(checked.as_ref().err().cloned());
        checked
    }

    fn idle_time(&self) -> Duration {
        let remote_is_well = self.shared.health.is_well();
        let interval = if remote_is_well { self.poll_interval } else { RETRY_INTERVAL };
        let interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        interval.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    /// Takes everything that waits: a lone change is written at once, and those
    /// that come during its push share the next one.
    fn serve(&mut self, first: Request, requests: &Receiver<Request>) {
        let mut changes = Vec::new();
        let mut fetches = Vec::new();
        let mut next = Some(first);
        let now = Instant::now();
        let turn = now + self.pace.delay(now);
        let deadline = turn + MAX_GATHERING;
        while let Some(request) = next {
            match request {
                Request::Change(pending) => changes.push(pending),
                Request::Note(pending) => self.notes.push(pending),
                Request::Fetch(answer) => fetches.push(answer),
            }
            next = if changes.len() < MAX_BATCH { self.next_request(requests, turn, deadline) } else { None };
        }
        if !fetches.is_empty() {
            let result = self.shared.fetch().map_err(|error| full_message(&error));
            for answer in fetches {
                let _ = answer.send(result.clone());
            }
        }
        if !changes.is_empty() {
            self.write(changes);
        }
        self.poll_at = Instant::now() + self.idle_time();
    }

    /// What waits already, comes before a push is due, or comes before the
    /// deadline after it was announced.
    fn next_request(
        &self,
        requests: &Receiver<Request>,
        turn: Instant,
        deadline: Instant,
    ) -> Option<Request> {
        let until_turn = turn.saturating_duration_since(Instant::now());
        if !until_turn.is_zero() {
            return requests.recv_timeout(until_turn).ok();
        }
        loop {
            // Before the look: what was announced and has come by now is seen by it.
            let is_expected = self.announced.load(Ordering::SeqCst) > 0;
            if let Ok(request) = requests.try_recv() {
                return Some(request);
            }
            if !is_expected || Instant::now() >= deadline {
                return None;
            }
            if let Ok(request) = requests.recv_timeout(GATHERING_STEP) {
                return Some(request);
            }
        }
    }

    /// Writes changes, in as few pushes as others let it, and answers each.
    fn write(&mut self, changes: Vec<Pending>) {
        let mut waiting = VecDeque::from(changes);
        let mut attempts = 0;
        while !waiting.is_empty() {
            self.wait_for_turn();
            // Nobody waits for those any more, and none of them was pushed.
            waiting.retain(|pending| !pending.answer.is_closed());
            if let Err(problem) = self.check_signer() {
                return refuse_all(waiting, &WriteError::Unavailable(problem));
            }
            let span = batch_span(&waiting);
            let _entered = span.enter();
            let shared = self.shared.clone();
            let snapshot = shared.snapshot();
            let mut draft = Draft::new(&shared.store, snapshot.tip(), snapshot.root());
            let drafted = self.draft(&snapshot, &mut draft, &mut waiting);
            let delivery = if draft.new_tip().is_some() {
                self.deliver(&snapshot, draft)
            } else if drafted.iter().all(|(_, result)| matches!(result, Ok(Outcome::Committed(_)))) {
                Delivery::Done
            } else {
                self.confirm(Target::Branch, &snapshot)
            };
            if !matches!(delivery, Delivery::Moved) {
                attempts = 0;
            }
            match delivery {
                Delivery::Done => {
                    self.batch_limit = (self.batch_limit * 2).min(MAX_BATCH);
                    answer(drafted);
                }
                Delivery::Moved => {
                    attempts += 1;
                    if drafted.len() > MIN_BATCH_LIMIT {
                        self.batch_limit = (drafted.len() / 2).max(MIN_BATCH_LIMIT);
                    }
                    let drafted = drafted.into_iter().map(|(pending, _)| pending);
                    waiting = drafted.chain(waiting).collect();
                }
                Delivery::Declined(reason) => self.write_declined(drafted, &reason),
                Delivery::Unavailable(reason) => answer_all(drafted, &WriteError::Unavailable(reason)),
            }
            if attempts == MAX_ATTEMPTS {
                let reason = "the config repository is changed by others all the time; try again in a moment";
                return refuse_all(waiting, &WriteError::Unavailable(reason.to_owned()));
            }
        }
    }

    /// Keeps the number of pushes a minute. Most of the wait was spent gathering;
    /// after what is left the remote may well have moved.
    fn wait_for_turn(&mut self) {
        let delay = self.pace.delay(Instant::now());
        if !delay.is_zero() {
            std::thread::sleep(delay);
            let _ = self.shared.fetch();
        }
    }

    /// The remote declined the batch. One member may be the cause: each half by
    /// itself, until it is found and all others are written.
    fn write_declined(&mut self, drafted: Vec<Drafted>, reason: &str) {
        let is_commit = |(_, result): &Drafted| matches!(result, Ok(Outcome::Committed(_)));
        let commits = drafted.iter().filter(|drafted| is_commit(drafted)).count();
        if commits <= 1 || self.declines > MAX_DECLINES {
            let (declined, others): (Vec<_>, Vec<_>) = drafted.into_iter().partition(is_commit);
            answer_all(declined, &WriteError::Declined(reason.to_owned()));
            // What became of them was found on top of what was declined.
            let others: Vec<_> = others.into_iter().map(|(pending, _)| pending).collect();
            if !others.is_empty() {
                self.write(others);
            }
            return;
        }
        warn!(commits, reason, "the remote declined a batch; trying its halves");
        self.write_in_halves(drafted.into_iter().map(|(pending, _)| pending).collect());
    }

    fn write_in_halves(&mut self, mut first: Vec<Pending>) {
        let second = first.split_off(first.len() / 2);
        self.write(first);
        self.write(second);
    }

    /// Drafts as many of the changes as one batch may hold.
    fn draft(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft<'_>,
        waiting: &mut VecDeque<Pending>,
    ) -> Vec<Drafted> {
        let time = unix_time();
        let mut in_batch = HashMap::new();
        let mut drafted = Vec::new();
        while drafted.len() < self.batch_limit
            && draft.size() <= MAX_BATCH_BYTES
            && let Some(pending) = waiting.pop_front()
        {
            let id = pending.change.release_id;
            let known = id.and_then(|id| in_batch.get(&id).copied().or(snapshot.history().commit_of(id)));
            let result = match known {
                Some(commit) => Ok(Outcome::Committed(commit)),
                None => self.draft_one(draft, &pending.change, time),
            };
            if let (Some(id), Ok(Outcome::Committed(commit))) = (id, &result) {
                in_batch.insert(id, *commit);
            }
            drafted.push((pending, result));
        }
        drafted
    }

    fn draft_one(&self, draft: &mut Draft<'_>, change: &Change, time: i64) -> Result<Outcome, WriteError> {
        let edit = match (change.plan)(&draft.tree())? {
            Plan::Commit(edit) => edit,
            Plan::Nothing => return Ok(Outcome::Unchanged),
        };
        let signer = self.signer.as_ref();
        let commit = draft.commit(&edit, &self.committer, time, change.release_id, signer)?;
        Ok(commit.map_or(Outcome::Unchanged, Outcome::Committed))
    }

    /// Nothing is to be pushed, and no push will tell whether the files that say so are still
    /// the remote's.
    fn confirm(&self, target: Target, base: &Snapshot) -> Delivery {
        match self.shared.fetch() {
            Err(error) => Delivery::Unavailable(full_message(&error)),
            Ok(()) if target.tip(&self.shared.snapshot()) == target.tip(base) => Delivery::Done,
            Ok(()) => Delivery::Moved,
        }
    }

    fn deliver(&mut self, base: &Snapshot, mut draft: Draft<'_>) -> Delivery {
        let Some(tip) = draft.new_tip() else { return Delivery::Done };
        let commits = draft.end_stack();
        let passengers = self.board(base, &mut draft);
        let mut updates = vec![Target::Branch.update(&self.shared, base, tip)];
        updates.extend(passengers.iter().map(|notes| Target::Notes.update(&self.shared, base, notes.tip)));
        let mut pack = draft.finish();
        let started = Instant::now();
        let pushed = info_span!("push").in_scope(|| self.push(&updates, &mut pack));
        debug!(commits = commits.len(), seconds = started.elapsed().as_secs_f64(), "pushed");
        let had_passengers = passengers.is_some();
        if let Some(passengers) = passengers {
            self.land(passengers, pushed.as_ref().ok().map(|answers| &answers[1]));
        }
        match pushed.map(|mut answers| answers.swap_remove(0)) {
            Ok(Pushed::Accepted) => {
                self.declines = 0;
                match self.publish(base, tip, commits) {
                    Ok(()) => Delivery::Done,
                    Err(error) => Delivery::Unavailable(full_message(&error)),
                }
            }
            // The notes may be to blame: without them it will be known.
            Ok(Pushed::Refused(_)) if had_passengers => match self.shared.fetch() {
                Ok(()) => Delivery::Moved,
                Err(error) => Delivery::Unavailable(full_message(&error)),
            },
            Ok(Pushed::Refused(reason)) => self.after_refusal(Target::Branch, base, reason),
            Err(error) => self.after_failure(Target::Branch, base, tip, &error),
        }
    }

    /// Sends the pack as it is; by `git push` where only that can, or a server does
    /// not talk to us. The objects come into the local copy only when they are, or
    /// may be, on the remote.
    fn push(&mut self, updates: &[Update], pack: &mut FinishedPack) -> Result<Vec<Pushed>, GitError> {
        self.pace.pushed(Instant::now());
        let Shared { remote, store, .. } = &*self.shared;
        match remote.push_pack(store.path(), updates, pack.bytes()) {
            Some(Ok(answers)) if answers.contains(&Pushed::Accepted) => store.add(pack).map(|()| answers),
            Some(answer @ (Ok(_) | Err(GitError::Timeout { .. }))) => answer,
            None | Some(Err(_)) => {
                store.add(pack)?;
                remote.push(store.path(), updates)
            }
        }
    }

    /// The push was refused: because the reference is elsewhere, or by a hook.
    fn after_refusal(&mut self, target: Target, base: &Snapshot, reason: String) -> Delivery {
        if let Err(error) = self.shared.fetch() {
            return Delivery::Unavailable(full_message(&error));
        }
        if target.tip(&self.shared.snapshot()) != target.tip(base) {
            return Delivery::Moved;
        }
        if matches!(target, Target::Branch) {
            self.declines += 1;
            let problem = format!("the config repository's remote declines pushes: {reason}");
            self.shared.health.push_failed(problem);
        }
        Delivery::Declined(reason)
    }

    /// The push failed or timed out, and may have arrived all the same.
    fn after_failure(&self, target: Target, base: &Snapshot, tip: ObjectId, error: &GitError) -> Delivery {
        let reason = full_message(error);
        if self.shared.fetch().is_err() {
            return Delivery::Unavailable(reason);
        }
        match target.tip(&self.shared.snapshot()) {
            now if now == Some(tip) => Delivery::Done,
            now if now == target.tip(base) => {
                if matches!(target, Target::Branch) {
                    self.shared.health.push_failed(reason.clone());
                }
                Delivery::Unavailable(reason)
            }
            _ => Delivery::Moved,
        }
    }

    fn publish(&self, base: &Snapshot, tip: ObjectId, commits: Vec<DraftedCommit>) -> Result<(), GitError> {
        let shared = &self.shared;
        shared.store.set_tip(&reference(&shared.branch), tip)?;
        shared.health.pushed();
        (self.on_push)(commits.len());
        let mut history = base.history().clone();
        for commit in commits {
            history.add(commit.id, &commit.message, commit.release_id);
        }
        shared.publish(Snapshot::new(shared.store.clone(), Some(tip), shared.snapshot().notes(), history)?);
        Ok(())
    }
}

fn answer(drafted: impl IntoIterator<Item = Drafted>) {
    for (pending, result) in drafted {
        // Whoever does not wait any more does not need the answer.
        let _ = pending.answer.send(result);
    }
}

fn answer_all(drafted: Vec<Drafted>, error: &WriteError) {
    answer(drafted.into_iter().map(|(pending, _)| (pending, Err(error.clone()))));
}

fn refuse_all(changes: impl IntoIterator<Item = Pending>, error: &WriteError) {
    answer(changes.into_iter().map(|pending| (pending, Err(error.clone()))));
}

/// In the trace of the first of those who wait, and linked from those of the others.
fn batch_span(waiting: &VecDeque<Pending>) -> Span {
    let mut waiting_spans = waiting.iter().map(|pending| &pending.span);
    let Some(first) = waiting_spans.next() else { return Span::none() };
    let span = info_span!(parent: first, "batch", changes = waiting.len());
    for other in waiting_spans {
        span.follows_from(other);
    }
    span
}

fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl From<GitError> for WriteError {
    fn from(error: GitError) -> Self {
        Self::Unavailable(full_message(&error))
    }
}

impl From<PlanError> for WriteError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(reason) => Self::Refused(reason),
            PlanError::Git(error) => error.into(),
        }
    }
}

impl From<DraftError> for WriteError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::Path(_) => Self::Refused(error.to_string()),
            DraftError::Git(_) | DraftError::Signing(_) => Self::Unavailable(full_message(&error)),
        }
    }
}

/// Spreads pushes so that no minute has more than a given number of them.
struct Pace {
    max_per_minute: usize,
    recent: VecDeque<Instant>,
}

const MINUTE: Duration = Duration::from_mins(1);

impl Pace {
    fn new(max_per_minute: usize) -> Self {
        Self { max_per_minute, recent: VecDeque::new() }
    }

    fn is_limited(&self) -> bool {
        self.max_per_minute > 0
    }

    /// How long to wait before a push that is due now.
    fn delay(&mut self, now: Instant) -> Duration {
        self.delay_with(self.max_per_minute, now)
    }

    /// The same for a push of notes: half of what is allowed is left to releases.
    fn delay_of_notes(&mut self, now: Instant) -> Duration {
        self.delay_with(self.max_per_minute.div_ceil(2), now)
    }

    fn delay_with(&mut self, limit: usize, now: Instant) -> Duration {
        self.recent.retain(|at| *at + MINUTE > now);
        // The one that has to be a minute ago, so that fewer than the limit are left.
        match self.recent.len().checked_sub(limit) {
            Some(index) if limit > 0 => (self.recent[index] + MINUTE).saturating_duration_since(now),
            _ => Duration::ZERO,
        }
    }

    fn pushed(&mut self, now: Instant) {
        if self.is_limited() {
            self.recent.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_spread_over_the_minute_only_when_there_are_too_many() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(2);
        for seconds in [0, 10] {
            assert_eq!(pace.delay(at(seconds)), Duration::ZERO);
            pace.pushed(at(seconds));
        }
        assert_eq!(pace.delay(at(20)), Duration::from_secs(40));
        assert_eq!(pace.delay(at(60)), Duration::ZERO);
        pace.pushed(at(60));
        assert_eq!(pace.delay(at(61)), Duration::from_secs(9));
        assert_eq!(pace.delay(at(300)), Duration::ZERO);
        let mut unlimited = Pace::new(0);
        for _ in 0..1000 {
            unlimited.pushed(at(0));
            assert!(unlimited.delay(at(0)).is_zero());
            assert!(unlimited.delay_of_notes(at(0)).is_zero());
        }
    }

    #[test]
    fn notes_leave_half_of_the_pushes_of_a_minute_to_releases() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (max_per_minute, of_notes) in [(1, 1), (2, 1), (5, 3), (6, 3)] {
            let mut pace = Pace::new(max_per_minute);
            for second in 0..of_notes {
                assert!(pace.delay_of_notes(at(second)).is_zero());
                pace.pushed(at(second));
            }
            assert_eq!(pace.delay_of_notes(at(of_notes)), Duration::from_secs(60 - of_notes));
            for push in of_notes..max_per_minute as u64 {
                assert!(pace.delay(at(push)).is_zero(), "a release takes push {push} of {max_per_minute}");
                pace.pushed(at(push));
            }
            assert!(pace.delay_of_notes(at(30)) >= pace.delay(at(30)));
        }
    }
}
