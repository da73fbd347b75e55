//! Keeps the local copy fast, beside the work: a repository with a thousand
//! small packs answers hundreds of times slower than one with a few.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use release_core::full_message;
use tracing::{info, warn};

use crate::{GitError, ObjectId, history, process::Git, repository::Shared};

/// Every write and every fetch of something new makes one pack.
const MAX_PACKS: usize = 50;
/// One that fails, for want of space perhaps, is not tried after every write.
const REPACK_INTERVAL: Duration = Duration::from_secs(1);
const SAVE_INTERVAL: Duration = Duration::from_mins(1);
/// Generous: repacking runs beside the work and holds nothing up.
const TIMEOUT: Duration = Duration::from_mins(30);

pub(crate) struct Maintenance {
    shared: Arc<Shared>,
    running: Arc<AtomicBool>,
    repacked_at: Option<Instant>,
    saved_at: Instant,
    saved_tip: Option<ObjectId>,
}

impl Maintenance {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let saved_tip = shared.snapshot().tip();
        Self { shared, running: Arc::default(), repacked_at: None, saved_at: Instant::now(), saved_tip }
    }

    /// Starts in the background what is due. Called by the writer between two batches.
    pub(crate) fn tick(&mut self) {
        let tip = self.shared.snapshot().tip();
        let save = tip != self.saved_tip && self.saved_at.elapsed() > SAVE_INTERVAL;
        let repack = self.repacked_at.is_none_or(|at| at.elapsed() > REPACK_INTERVAL)
            && count_packs(&self.shared) >= MAX_PACKS;
        if !(save || repack) || self.running.swap(true, Ordering::SeqCst) {
            return;
        }
        if save {
            self.saved_at = Instant::now();
            self.saved_tip = tip;
        }
        if repack {
            self.repacked_at = Some(Instant::now());
        }
        let (shared, running) = (self.shared.clone(), self.running.clone());
        std::thread::spawn(move || {
            let result = run(&shared, save, repack);
            if let Err(error) = result {
                warn!("maintenance of the local copy failed: {}", full_message(&error));
            }
            running.store(false, Ordering::SeqCst);
        });
    }

    /// Saves the index, so that the next start reads only what is new.
    pub(crate) fn finish(&self) {
        if let Err(error) = save_history(&self.shared) {
            warn!("the history index cannot be saved: {}", full_message(&error));
        }
    }
}

fn run(shared: &Shared, save: bool, repack: bool) -> Result<(), GitError> {
    if save {
        save_history(shared)?;
    }
    if repack {
        let started = Instant::now();
        repack_objects(shared)?;
        info!(
            seconds = started.elapsed().as_secs_f64(),
            packs = count_packs(shared),
            "repacked the local copy"
        );
    }
    Ok(())
}

fn save_history(shared: &Shared) -> Result<(), GitError> {
    let snapshot = shared.snapshot();
    history::save(shared.store.path(), snapshot.tip(), snapshot.history())
}

/// Merges small packs into larger ones, so that their number grows with the
/// logarithm of what is stored, and writes what speeds walks of history up.
fn repack_objects(shared: &Shared) -> Result<(), GitError> {
    let git = Git {
        action: "the local copy cannot be repacked",
        directory: shared.store.path(),
        timeout: TIMEOUT,
        environment: &[],
    };
    // One thread: the other cores belong to the server.
    git.check(&[
        "-c",
        "pack.threads=1",
        "repack",
        "--quiet",
        "-d",
        "--geometric=2",
        "--no-write-bitmap-index",
    ])?;
    shared.store.reopen();
    git.check(&["commit-graph", "write", "--reachable", "--split", "--no-progress"])?;
    Ok(())
}

fn count_packs(shared: &Shared) -> usize {
    fs::read_dir(shared.store.packs()).map_or(0, |entries| {
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        names.filter(|name| name.to_string_lossy().ends_with(".idx")).count()
    })
}
