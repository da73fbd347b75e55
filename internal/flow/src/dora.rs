//! How software is delivered: the figures of [`release_core::dora`], of the releases in the
//! config repository and what daemons told of them.

use std::{
    collections::{BinaryHeap, HashMap},
    iter::Peekable,
};

use chrono::{DateTime, TimeDelta, Utc};
use release_api::v1::{DoraFigures, DoraResponse, ServiceFigures};
use release_core::{
    Intent, Name, Spec, artifact,
    dora::{Deployment, Figures, Outcome},
    rollout::record,
};
use release_git::{Entry, GitError, ObjectId, ReleaseCommit, Snapshot, Tree};

use crate::{Flow, FlowError, layout};

/// How many releases are read for one answer.
const MAX_RELEASES: usize = 10_000;
/// How many releases are remembered: those of answers with different scopes.
const MAX_BUILDS: usize = 2 * MAX_RELEASES;

/// What releases brought. It never changes, and takes long to find.
pub(crate) type Builds = HashMap<ObjectId, Built>;

/// Which releases the figures are of; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub service: Option<Name>,
    pub squad: Option<String>,
    pub environment: Option<Name>,
    /// How far back, from now.
    pub period: TimeDelta,
}

/// The releases since a time.
struct Releases {
    /// Newest first.
    commits: Vec<ReleaseCommit>,
    /// There are older ones.
    is_cut: bool,
}

impl Flow {
    /// How often, how fast and how well was delivered lately. Of at most 10,000 releases: when there are
    /// more, the newest count and the answer says so.
    pub async fn dora(&self, scope: Scope) -> Result<DoraResponse, FlowError> {
        // One at a time: whoever comes meanwhile needs much of what is being read.
        let mut builds = self.builds.clone().lock_owned().await;
        let read =
            move |snapshot: &Snapshot| Ok(figures(snapshot, &mut builds, &scope, Utc::now(), MAX_RELEASES)?);
        self.read(read).await
    }
}

fn figures(
    snapshot: &Snapshot,
    builds: &mut Builds,
    scope: &Scope,
    now: DateTime<Utc>,
    max: usize,
) -> Result<DoraResponse, GitError> {
    let asked = now - scope.period;
    let Releases { commits, is_cut } = releases(snapshot, scope, asked, max)?;
    let oldest = commits.last().filter(|_| is_cut).map(released_at);
    let since = oldest.unwrap_or(asked);
    let mut deployments = Vec::new();
    // Oldest first, as those of the same second have to be.
    for commit in commits.into_iter().rev() {
        let deployment = deployment(snapshot, builds, commit)?;
        let is_asked = |squad: &String| deployment.squad.to_lowercase() == squad.to_lowercase();
        if scope.squad.as_ref().is_none_or(is_asked) {
            deployments.push(deployment);
        }
    }
    deployments.sort_by(|a, b| of_whom(a).cmp(&of_whom(b)));
    let services = deployments.chunk_by(|a, b| of_whom(a) == of_whom(b)).map(|of_service| ServiceFigures {
        squad: of_service[0].squad.clone(),
        service: of_service[0].service.clone(),
        figures: told(Figures::of(of_service, now - since)),
    });
    let services = services.collect();
    let overall = told(Figures::of(&deployments, now - since));
    Ok(DoraResponse { since, until: now, is_cut, overall, services })
}

fn of_whom(deployment: &Deployment) -> (&str, &str) {
    (&deployment.squad, &deployment.service)
}

fn told(figures: Figures) -> DoraFigures {
    let seconds = |duration: Option<TimeDelta>| duration.map(|duration| duration.num_seconds());
    DoraFigures {
        deployments: figures.deployments,
        deployments_per_day: figures.per_day,
        lead_time_seconds: seconds(figures.lead_time),
        failures: figures.failures,
        change_failure_rate: figures.failure_rate,
        time_to_restore_seconds: seconds(figures.time_to_restore),
    }
}

/// At most `max` of the releases since a time, the newest of all places together: places where little
/// happens count, too, however much happens elsewhere.
fn releases(
    snapshot: &Snapshot,
    scope: &Scope,
    since: DateTime<Utc>,
    max: usize,
) -> Result<Releases, GitError> {
    let places = snapshot.places().filter(|place| scope.has(*place));
    let mut places: Vec<_> =
        places.map(|(environment, service)| snapshot.releases(environment, service).peekable()).collect();
    let newest = places.iter_mut().enumerate().filter_map(|(n, place)| Some((next_time(place, since)?, n)));
    let mut newest: BinaryHeap<_> = newest.collect();
    let mut commits = Vec::new();
    while let Some((_, n)) = newest.pop() {
        if commits.len() == max {
            return Ok(Releases { commits, is_cut: true });
        }
        commits.extend(places[n].next().transpose()?);
        newest.extend(next_time(&mut places[n], since).map(|time| (time, n)));
    }
    Ok(Releases { commits, is_cut: false })
}

/// When the next release was, unless that is too long ago. One that cannot be read comes first.
fn next_time<I>(place: &mut Peekable<I>, since: DateTime<Utc>) -> Option<i64>
where
    I: Iterator<Item = Result<ReleaseCommit, GitError>>,
{
    let time = place.peek()?.as_ref().map_or(i64::MAX, |commit| commit.time);
    Some(time).filter(|time| *time >= since.timestamp())
}

impl Scope {
    /// Names compare without case, as those of releases do.
    fn has(&self, (environment, service): (&str, &str)) -> bool {
        let is = |asked: &Option<Name>, name: &str| {
            asked.as_ref().is_none_or(|asked| asked.as_str().to_lowercase() == name)
        };
        is(&self.environment, environment) && is(&self.service, service)
    }
}

fn deployment(
    snapshot: &Snapshot,
    builds: &mut Builds,
    commit: ReleaseCommit,
) -> Result<Deployment, GitError> {
    let built = known(snapshot, builds, &commit)?.clone();
    // Notes that cannot be read tell nothing; the server says elsewhere what is wrong with them.
    let note = snapshot.note(commit.id).ok().flatten().unwrap_or_default();
    Ok(Deployment {
        squad: built.squad,
        namespace: built.namespace,
        built_at: built.at,
        released_at: released_at(&commit),
        is_rollback: matches!(commit.message.intent, Intent::Rollback { .. }),
        outcome: Outcome::of(&record::parse(&note)),
        service: commit.message.service,
        environment: commit.message.environment,
    })
}

fn known<'a>(
    snapshot: &Snapshot,
    builds: &'a mut Builds,
    commit: &ReleaseCommit,
) -> Result<&'a Built, GitError> {
    if !builds.contains_key(&commit.id) {
        if builds.len() >= MAX_BUILDS {
            builds.clear();
        }
        builds.insert(commit.id, built(snapshot, commit)?);
    }
    Ok(&builds[&commit.id])
}

fn released_at(commit: &ReleaseCommit) -> DateTime<Utc> {
    DateTime::from_timestamp(commit.time, 0).unwrap_or_default()
}

/// What a release brought, and where to. Empty where that cannot be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Built {
    namespace: String,
    squad: String,
    at: Option<DateTime<Utc>>,
}

/// The title of a commit does not say to which namespace: the files do.
fn built(snapshot: &Snapshot, commit: &ReleaseCommit) -> Result<Built, GitError> {
    let (environment, service) = (&commit.message.environment, &commit.message.service);
    let tree = snapshot.tree_of(commit.id)?;
    let file = format!("{service}/{}", artifact::FILE_NAME);
    for namespace in changed_namespaces(snapshot, commit, &tree, environment)? {
        if let Some(json) = tree.inside(&namespace).file(&file)? {
            let Spec { squad, ci, .. } = Spec::from_json(&json).unwrap_or_default();
            let at = Some(ci.start).filter(|at| *at != artifact::zero_time()).map(|at| at.to_utc());
            return Ok(Built { namespace: namespace.name, squad, at });
        }
    }
    Ok(Built::default())
}

fn changed_namespaces(
    snapshot: &Snapshot,
    commit: &ReleaseCommit,
    tree: &Tree<'_>,
    environment: &str,
) -> Result<impl Iterator<Item = Entry>, GitError> {
    let directory = layout::releases_directory(environment);
    let before = match commit.parent {
        Some(parent) => snapshot.tree_of(parent)?.entries(&directory)?,
        None => Vec::new(),
    };
    let after = tree.entries(&directory)?;
    Ok(after.into_iter().filter(move |entry| !before.contains(entry)))
}

#[cfg(test)]
mod tests;
