//! Over a real repository, with commits and notes of any time.

use std::{sync::Arc, time::Duration};

use release_core::{Person, commit_message::ReleaseMessage};
use release_git::{ConfigRepository, Credentials, Options, RemoteOptions};
use release_testing::{artifact::ArtifactBuilder, origin::Origin};
use uuid::Uuid;

use super::*;

const ENOUGH: usize = 100;

fn at(minute: i64) -> DateTime<Utc> {
    let start = DateTime::parse_from_rfc3339("2026-03-01T00:00:00Z").unwrap();
    start.to_utc() + TimeDelta::minutes(minute)
}

/// A config repository in the making. Times are in minutes.
struct History {
    origin: Origin,
}

struct Made<'a> {
    history: &'a History,
    commit: String,
}

impl History {
    fn new() -> Self {
        Self { origin: Origin::new() }
    }

    /// Releases to `environment/namespace/service` what was built ten minutes before.
    fn release(&self, minute: i64, place: &str, squad: &str) -> Made<'_> {
        self.commit(minute, place, squad, Intent::ReleaseArtifact)
    }

    fn rollback(&self, minute: i64, place: &str, squad: &str) -> Made<'_> {
        self.commit(minute, place, squad, Intent::Rollback { previous_artifact_id: "m-0".into() })
    }

    fn commit(&self, minute: i64, place: &str, squad: &str, intent: Intent) -> Made<'_> {
        let [environment, namespace, service] = place.split('/').collect::<Vec<_>>()[..] else { panic!() };
        let artifact_id = format!("m-{minute}");
        let built_at = (at(minute) - TimeDelta::minutes(10)).fixed_offset();
        let mut spec = ArtifactBuilder::new(service, &artifact_id).squad(squad).spec().clone();
        spec.ci.start = built_at;
        // No two are the same: there would be nothing to commit.
        spec.application.sha = Uuid::new_v4().to_string();
        let file = format!("{environment}/releases/{namespace}/{service}/artifact.json");
        let message = ReleaseMessage {
            environment: environment.into(),
            service: service.into(),
            artifact_id,
            released_by: Person::new("Jane Doe", "jane@example.com"),
            created_by: Person::default(),
            intent,
        };
        let time = at(minute).timestamp();
        let commit = self.origin.commit_at(time, &message.to_string(), &[(&file, &spec.to_json())]);
        Made { history: self, commit }
    }

    fn snapshot(&self) -> Snapshot {
        let options = Options {
            directory: self.origin.scratch().join("copy.git"),
            remote: RemoteOptions {
                url: self.origin.url(),
                credentials: Credentials::default(),
                timeout: Duration::from_mins(1),
            },
            branch: None,
            committer: Person::new("release-manager", "bot@example.com"),
            signing: None,
            poll_interval: Duration::from_hours(1),
            max_pushes_per_minute: 0,
            on_push: Arc::new(|_| ()),
        };
        let (repository, writer) = ConfigRepository::open(&options).unwrap();
        let snapshot = repository.snapshot();
        writer.close();
        snapshot
    }

    /// As asked at the beginning of the second day.
    fn figures(&self, scope: &Scope, max: usize) -> DoraResponse {
        figures(&self.snapshot(), &mut Builds::new(), scope, at(1440), max).unwrap()
    }
}

impl Made<'_> {
    fn healthy(self, minute: i64) {
        self.note(minute, r#""what":"succeeded","available":1,"desired":1"#);
    }

    fn failed(self, minute: i64) {
        self.note(minute, r#""what":"failed","error":"no database""#);
    }

    fn note(self, minute: i64, what: &str) {
        let (event, time) = (Uuid::new_v4(), at(minute).to_rfc3339());
        let line = format!(
            r#"{{"event":"{event}","at":"{time}","kind":"Deployment","namespace":"dev","name":"api",{what}}}"#
        );
        let origin = &self.history.origin;
        let me = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
        origin.git(&[&me[..], &["notes", "--ref=rollouts", "add", "-m", &line, &self.commit]].concat());
    }
}

fn a_day() -> Scope {
    Scope { period: TimeDelta::days(1), ..Scope::default() }
}

fn rows(response: &DoraResponse) -> Vec<(&str, &str, usize)> {
    let services = response.services.iter();
    services.map(|one| (one.squad.as_str(), one.service.as_str(), one.figures.deployments)).collect()
}

#[test]
fn figures_are_of_releases_and_of_what_daemons_told_of_them() {
    let history = History::new();
    history.release(100, "dev/dev/api", "aura").healthy(105);
    history.release(200, "dev/dev/api", "aura").failed(202);
    history.rollback(230, "dev/dev/api", "aura").healthy(232);
    history.release(300, "dev/dev/web", "");
    let response = history.figures(&a_day(), ENOUGH);
    assert_eq!((response.since, response.until, response.is_cut), (at(0), at(1440), false));
    assert_eq!(rows(&response), [("", "web", 1), ("aura", "api", 3)]);
    let web = &response.services[0].figures;
    assert_eq!((web.failures, web.lead_time_seconds), (0, Some(600)), "nobody told");
    let api = &response.services[1].figures;
    assert_eq!((api.lead_time_seconds, api.failures), (Some(900), 1));
    assert_eq!((api.change_failure_rate, api.time_to_restore_seconds), (Some(0.5), Some(1800)));
    let all = &response.overall;
    assert_eq!((all.deployments, all.failures, all.lead_time_seconds), (4, 1, Some(600)));
    assert!((all.deployments_per_day - 4.0).abs() < f64::EPSILON);
}

#[test]
fn only_what_is_asked_for_counts() {
    let history = History::new();
    history.release(0, "dev/dev/api", "aura");
    history.release(720, "dev/dev/api", "aura");
    history.release(800, "prod/prod/api", "aura");
    history.release(900, "dev/dev/web", "Nasa Two");
    let half_a_day = Scope { period: TimeDelta::hours(12), ..Scope::default() };
    let name = |name: &str| Some(Name::new(name).unwrap());
    for (scope, expected) in [
        (a_day(), &[("Nasa Two", "web", 1), ("aura", "api", 3)][..]),
        (half_a_day.clone(), &[("Nasa Two", "web", 1), ("aura", "api", 2)]),
        (Scope { period: TimeDelta::minutes(1), ..a_day() }, &[]),
        (Scope { service: name("API"), ..a_day() }, &[("aura", "api", 3)]),
        (Scope { squad: Some("nasa two".into()), ..a_day() }, &[("Nasa Two", "web", 1)]),
        (Scope { environment: name("Dev"), ..a_day() }, &[("Nasa Two", "web", 1), ("aura", "api", 2)]),
        (Scope { environment: name("prod"), squad: Some("aura".into()), ..a_day() }, &[("aura", "api", 1)]),
        (Scope { environment: name("qa"), ..a_day() }, &[]),
    ] {
        let response = history.figures(&scope, ENOUGH);
        assert_eq!(rows(&response), expected, "{scope:?}");
        assert_eq!(response.overall.deployments, expected.iter().map(|row| row.2).sum::<usize>());
    }
}

#[test]
fn of_too_many_releases_the_newest_of_all_places_count_and_the_period_is_shorter() {
    let history = History::new();
    for minute in [360, 700, 720] {
        history.release(minute, "dev/dev/busy", "aura");
    }
    history.release(710, "dev/dev/calm", "aura");
    for (max, expected, since) in [
        (4, &[("aura", "busy", 3), ("aura", "calm", 1)][..], None),
        (3, &[("aura", "busy", 2), ("aura", "calm", 1)], Some(700)),
        (1, &[("aura", "busy", 1)], Some(720)),
    ] {
        let response = history.figures(&a_day(), max);
        assert_eq!(rows(&response), expected, "{max}");
        assert_eq!((response.is_cut, response.since), (since.is_some(), at(since.unwrap_or(0))), "{max}");
    }
    let busiest = history.figures(&a_day(), 1).overall.deployments_per_day;
    assert!((busiest - 2.0).abs() < f64::EPSILON, "one in half a day: {busiest}");
}

#[test]
fn namespaces_are_told_apart_by_the_files() {
    let history = History::new();
    history.release(100, "dev/one/api", "aura").failed(101);
    history.release(110, "dev/two/api", "nasa").healthy(111);
    history.release(130, "dev/one/api", "aura").healthy(131);
    let response = history.figures(&a_day(), ENOUGH);
    assert_eq!(rows(&response), [("aura", "api", 2), ("nasa", "api", 1)]);
    assert_eq!(response.overall.time_to_restore_seconds, Some(30 * 60));
}

#[test]
fn releases_of_the_same_second_keep_their_order() {
    let history = History::new();
    history.release(100, "dev/dev/api", "aura").failed(100);
    history.rollback(100, "dev/dev/api", "aura").healthy(101);
    let overall = history.figures(&a_day(), ENOUGH).overall;
    assert_eq!((overall.failures, overall.time_to_restore_seconds), (1, Some(60)));
}

#[test]
fn what_cannot_be_read_is_not_known_and_no_error() {
    let history = History::new();
    history.release(100, "dev/dev/api", "aura").failed(101);
    let broken = [("dev/releases/dev/api/artifact.json", "{")];
    history.origin.commit_at(at(200).timestamp(), "[dev/api] release m-200 by jane@example.com", &broken);
    let gone = "[dev/gone] release m-300 by jane@example.com";
    history.origin.commit_at(at(300).timestamp(), gone, &[("README.md", "x")]);
    let response = history.figures(&a_day(), ENOUGH);
    assert_eq!(rows(&response), [("", "api", 1), ("", "gone", 1), ("aura", "api", 1)]);
    assert_eq!((response.overall.failures, response.overall.lead_time_seconds), (1, None));
    // Notes that somebody broke: their newest commit is a file.
    let file = history.origin.git(&["rev-parse", "main:README.md"]);
    history.origin.git(&["update-ref", "refs/notes/rollouts", &file]);
    let snapshot = history.snapshot();
    let release = snapshot.releases("dev", "api").next().unwrap().unwrap();
    assert!(snapshot.note(release.id).is_err());
    assert_eq!(history.figures(&a_day(), ENOUGH).overall.failures, 0);
}
