//! Whether the remote can be read and written, and commits be signed, for `/ready` and for those who wait for it.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{info, warn};

/// A failed push is forgotten after this time: whoever still wants to push
/// tries more often than that, and nobody else is concerned.
const PUSH_PROBLEM_LASTS: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(crate) struct Health {
    problems: Mutex<Problems>,
    current: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Problems {
    fetch: Option<String>,
    push: Option<(String, Instant)>,
    signing: Option<String>,
}

impl Health {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.current.subscribe()
    }

    pub(crate) fn is_well(&self) -> bool {
        self.current.borrow().is_none()
    }

    /// A fetch ended, with this problem or none.
    pub(crate) fn fetched(&self, problem: Option<String>) {
        self.update(|problems| {
            problems.fetch = problem;
            problems.push.take_if(|(_, at)| at.elapsed() > PUSH_PROBLEM_LASTS);
        });
    }

    pub(crate) fn pushed(&self) {
        self.update(|problems| (problems.fetch, problems.push) = (None, None));
    }

    /// The signing key was looked at, with this problem or none.
    pub(crate) fn signing(&self, problem: Option<String>) {
        self.update(|problems| problems.signing = problem);
    }

    pub(crate) fn push_failed(&self, problem: String) {
        self.update(|problems| problems.push = Some((problem, Instant::now())));
    }

    fn update(&self, change: impl FnOnce(&mut Problems)) {
        let mut problems = self.problems.lock().expect("no panic while held");
        change(&mut problems);
        let push = problems.push.as_ref().map(|(problem, _)| problem);
        let worst = problems.fetch.as_ref().or(problems.signing.as_ref()).or(push).cloned();
        self.current.send_if_modified(|known| {
            let changed = *known != worst;
            if changed {
                match &worst {
                    Some(problem) => warn!("{problem}"),
                    None => info!("the config repository's remote is well again"),
                }
                *known = worst;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successful_fetch_does_not_hide_that_pushes_are_declined() {
        let health = Health::default();
        health.push_failed("declined".into());
        health.fetched(None);
        assert_eq!(health.subscribe().borrow().as_deref(), Some("declined"));
        health.fetched(Some("away".into()));
        assert_eq!(health.subscribe().borrow().as_deref(), Some("away"));
        health.pushed();
        assert!(health.is_well());
    }

    #[test]
    fn a_successful_fetch_or_push_does_not_hide_that_commits_cannot_be_signed() {
        let health = Health::default();
        health.signing(Some("no key".into()));
        health.fetched(None);
        health.pushed();
        assert_eq!(health.subscribe().borrow().as_deref(), Some("no key"));
        health.signing(None);
        assert!(health.is_well());
    }
}
