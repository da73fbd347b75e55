//! What is in the config repository's history.

use std::collections::{HashMap, HashSet};

use release_core::commit_message::ReleaseMessage;
use release_testing::origin::{BRANCH, Origin};
use uuid::Uuid;

/// The commits of a config repository, newest first.
pub(crate) struct History {
    commits: Vec<Commit>,
}

#[derive(Debug, Default)]
struct Commit {
    id: String,
    /// From the header that the server writes.
    release: Option<Uuid>,
    message: String,
}

impl History {
    pub(crate) fn of(origin: &Origin) -> Self {
        let mut commits: Vec<Commit> = Vec::new();
        for line in origin.git(&["log", "--format=raw", BRANCH]).lines() {
            if let Some(id) = line.strip_prefix("commit ") {
                commits.push(Commit { id: id.to_owned(), ..Commit::default() });
                continue;
            }
            let commit = commits.last_mut().expect("a commit begins with its id");
            if let Some(release) = line.strip_prefix("release-id ") {
                commit.release = Some(release.parse().expect("a release id is a UUID"));
            } else if let Some(text) = line.strip_prefix("    ") {
                commit.message.push_str(text);
                commit.message.push('\n');
            }
        }
        Self { commits }
    }

    /// How many commits each release has become.
    pub(crate) fn releases(&self) -> HashMap<Uuid, usize> {
        let mut count = HashMap::new();
        for release in self.commits.iter().filter_map(|commit| commit.release) {
            *count.entry(release).or_default() += 1;
        }
        count
    }

    /// The id of the one commit of a release.
    pub(crate) fn commit_of(&self, release: Uuid) -> &str {
        let commits: Vec<_> = self.commits.iter().filter(|commit| commit.release == Some(release)).collect();
        match commits.as_slice() {
            [commit] => &commit.id,
            other => panic!("release {release} is {} commits: {other:#?}", other.len()),
        }
    }

    /// The artifact of the newest release of a service to an environment.
    pub(crate) fn current(&self, service: &str, environment: &str) -> Option<String> {
        self.commits
            .iter()
            .filter(|commit| commit.release.is_some())
            .filter_map(|commit| ReleaseMessage::parse(&commit.message))
            .find(|message| message.service == service && message.environment == environment)
            .map(|message| message.artifact_id)
    }

    /// Whether somebody else's commit is between two releases.
    pub(crate) fn is_interleaved(&self) -> bool {
        let mut is_release = self.commits.iter().map(|commit| commit.release.is_some());
        is_release.any(|it| it) && is_release.any(|it| !it) && is_release.any(|it| it)
    }

    pub(crate) fn titles(&self) -> HashSet<&str> {
        self.commits.iter().filter_map(|commit| commit.message.lines().next()).collect()
    }
}
