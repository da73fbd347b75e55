//! The four figures of software delivery that DORA research made known: how often is
//! deployed, how long a change takes, how many deployments fail, how long until it works again.

use chrono::{DateTime, TimeDelta, Utc};

use crate::rollout::record::{self, Record};

/// One release that was written to the config repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub service: String,
    pub squad: String,
    pub environment: String,
    pub namespace: String,
    /// When its build began, which is as near to the source commit as artifacts tell.
    pub built_at: Option<DateTime<Utc>>,
    pub released_at: DateTime<Utc>,
    /// It brought back what ran before.
    pub is_rollback: bool,
    pub outcome: Outcome,
}

/// What became of it in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody told.
    Unknown,
    /// Since all that told of a success had told the first one.
    Healthy(DateTime<Utc>),
    /// Since the first error that no success of the same workload followed.
    Failed(DateTime<Utc>),
}

impl Outcome {
    /// What the note of its commit tells.
    pub fn of(records: &[Record]) -> Self {
        if let Some((record, _)) = record::open_errors(records).next() {
            return Self::Failed(record.at);
        }
        // Later ones are of restarts and other scales, not of the release.
        let is_first = |(index, new): &(usize, &Record)| {
            !records[..*index].iter().any(|known| known.is_success() && known.object == new.object)
        };
        let successes = records.iter().enumerate().filter(|(_, record)| record.is_success());
        let firsts = successes.filter(is_first).map(|(_, record)| record.at);
        firsts.max().map_or(Self::Unknown, Self::Healthy)
    }
}

/// The figures of some deployments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub deployments: usize,
    pub per_day: f64,
    /// The median from build to running (or released, where nobody tells).
    pub lead_time: Option<TimeDelta>,
    /// How many failed or were rolled back.
    pub failures: usize,
    /// Their share of the deployments that are no rollbacks: 0 to 1.
    pub failure_rate: Option<f64>,
    /// The median from a failure to the next deployment there that works.
    pub time_to_restore: Option<TimeDelta>,
}

impl Figures {
    /// Of deployments over a period. Those of a place (service, environment and namespace) may come
    /// in any order, and mixed with others.
    pub fn of(deployments: &[Deployment], period: TimeDelta) -> Self {
        let mut places: Vec<&Deployment> = deployments.iter().collect();
        places.sort_by_key(|deployment| (deployment.place(), deployment.released_at));
        let places = places.chunk_by(|a, b| a.place() == b.place());
        let failures: Vec<Option<TimeDelta>> = places.flat_map(failures).collect();
        // A rollback is the cure; the change that it takes back has been counted.
        let changes = deployments.iter().filter(|deployment| !deployment.is_rollback).count();
        let days = period.max(TimeDelta::seconds(1)).as_seconds_f64() / 86_400.0;
        Self {
            deployments: deployments.len(),
            per_day: float(deployments.len()) / days,
            lead_time: median(deployments.iter().filter_map(Deployment::lead_time).collect()),
            failures: failures.len(),
            failure_rate: (changes > 0).then(|| float(failures.len()) / float(changes)),
            time_to_restore: median(failures.into_iter().flatten().collect()),
        }
    }
}

impl Deployment {
    fn place(&self) -> (&str, &str, &str) {
        (&self.service, &self.environment, &self.namespace)
    }

    /// Of changes only: what a rollback brings was built long ago.
    fn lead_time(&self) -> Option<TimeDelta> {
        let arrived = match self.outcome {
            Outcome::Healthy(at) => at,
            Outcome::Unknown => self.released_at,
            Outcome::Failed(_) => return None,
        };
        let took = arrived - self.built_at?;
        (!self.is_rollback && took >= TimeDelta::zero()).then_some(took)
    }

    /// When it worked, as far as anybody knows.
    fn works_at(&self) -> Option<DateTime<Utc>> {
        match self.outcome {
            Outcome::Healthy(at) => Some(at),
            Outcome::Unknown => Some(self.released_at),
            Outcome::Failed(_) => None,
        }
    }
}

/// The failures in one place, oldest first, each with the time until it was restored.
fn failures<'a>(place: &'a [&'a Deployment]) -> impl Iterator<Item = Option<TimeDelta>> + 'a {
    place.iter().enumerate().filter(|(_, deployment)| !deployment.is_rollback).filter_map(
        |(n, deployment)| {
            let later = &place[n + 1..];
            let failed_at = match (deployment.outcome, later.first()) {
                (Outcome::Failed(at), _) => at,
                // Whoever rolls back has seen it fail, though no cluster told.
                (Outcome::Healthy(at), Some(next)) if next.is_rollback => at,
                (Outcome::Unknown, Some(next)) if next.is_rollback => deployment.released_at,
                _ => return None,
            };
            let restored_at = later.iter().find_map(|later| later.works_at());
            Some(restored_at.map(|at| (at - failed_at).max(TimeDelta::zero())))
        },
    )
}

#[allow(clippy::cast_precision_loss)] // nobody deploys that often
fn float(count: usize) -> f64 {
    count as f64
}

/// The lower one of two in the middle.
fn median(mut durations: Vec<TimeDelta>) -> Option<TimeDelta> {
    durations.sort();
    durations.get(durations.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::rollout::{WorkloadId, record::What};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn released(minute: i64, outcome: Outcome) -> Deployment {
        Deployment {
            service: "svc".into(),
            squad: "aura".into(),
            environment: "prod".into(),
            namespace: "prod".into(),
            built_at: Some(at(minute - 10)),
            released_at: at(minute),
            is_rollback: false,
            outcome,
        }
    }

    fn rolled_back(minute: i64, outcome: Outcome) -> Deployment {
        Deployment { is_rollback: true, ..released(minute, outcome) }
    }

    fn minutes(duration: Option<TimeDelta>) -> Option<i64> {
        duration.map(|duration| duration.num_minutes())
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = Figures::of(&[], TimeDelta::days(30));
        assert_eq!((none.deployments, none.lead_time, none.failure_rate), (0, None, None));
        assert_eq!(none.time_to_restore, None);
    }

    #[test]
    fn healthy_deployments_say_how_often_and_how_fast() {
        use Outcome::{Healthy, Unknown};
        let deployments =
            [released(100, Healthy(at(105))), released(200, Unknown), released(300, Healthy(at(330)))];
        let figures = Figures::of(&deployments, TimeDelta::days(2));
        assert_eq!((figures.deployments, figures.failure_rate), (3, Some(0.0)));
        assert!((figures.per_day - 1.5).abs() < f64::EPSILON);
        assert_eq!(minutes(figures.lead_time), Some(15), "of 15, 10 and 40");
        assert_eq!(figures.time_to_restore, None);
    }

    #[test]
    fn failures_are_counted_once_and_restored_by_what_works_next() {
        use Outcome::{Failed, Healthy, Unknown};
        for (what, deployments, rate, restored) in [
            ("fixed forward", vec![released(0, Failed(at(2))), released(30, Healthy(at(32)))], 0.5, Some(30)),
            (
                "rolled back",
                vec![released(0, Failed(at(2))), rolled_back(10, Healthy(at(12)))],
                1.0,
                Some(10),
            ),
            (
                "rolled back without an error",
                vec![released(0, Healthy(at(1))), rolled_back(21, Unknown)],
                1.0,
                Some(20),
            ),
            ("nobody told", vec![released(0, Unknown), rolled_back(15, Unknown)], 1.0, Some(15)),
            ("still broken", vec![released(0, Failed(at(2))), released(5, Failed(at(6)))], 1.0, None),
            (
                "broken twice",
                vec![released(0, Failed(at(2))), released(5, Failed(at(6))), released(20, Healthy(at(22)))],
                2.0 / 3.0,
                Some(16),
            ),
        ] {
            let figures = Figures::of(&deployments, TimeDelta::days(1));
            assert!((figures.failure_rate.unwrap() - rate).abs() < 1e-9, "{what}: {figures:?}");
            assert_eq!(minutes(figures.time_to_restore), restored, "{what}");
        }
    }

    #[test]
    fn a_note_tells_when_all_workloads_ran_and_which_errors_nothing_followed() {
        let succeeded =
            |minute, name: &str| (minute, name.to_owned(), What::Succeeded { available: 1, desired: 1 });
        let failed = |minute, name: &str| (minute, name.to_owned(), What::Failed { error: "no".into() });
        for (what, happenings, expected) in [
            ("nothing", vec![], Outcome::Unknown),
            ("one after the other", vec![succeeded(1, "a"), succeeded(3, "b")], Outcome::Healthy(at(3))),
            ("restarted later", vec![succeeded(1, "a"), succeeded(90, "a")], Outcome::Healthy(at(1))),
            ("failed", vec![succeeded(1, "a"), failed(2, "b"), failed(9, "b")], Outcome::Failed(at(2))),
            ("came up late", vec![failed(1, "a"), succeeded(5, "a")], Outcome::Healthy(at(5))),
            ("one does not", vec![failed(1, "a"), failed(2, "b"), succeeded(5, "a")], Outcome::Failed(at(2))),
        ] {
            let records = happenings.into_iter().map(|(minute, name, what)| Record {
                event: Uuid::new_v4(),
                at: at(minute),
                object: WorkloadId { kind: "Deployment".into(), namespace: "prod".into(), name },
                what,
            });
            assert_eq!(Outcome::of(&records.collect::<Vec<_>>()), expected, "{what}");
        }
    }

    #[test]
    fn places_do_not_cure_each_other_and_order_does_not_matter() {
        let elsewhere = Deployment { environment: "dev".into(), ..released(20, Outcome::Healthy(at(21))) };
        let beside = Deployment { namespace: "team".into(), ..released(30, Outcome::Healthy(at(31))) };
        let mut deployments = vec![
            released(40, Outcome::Healthy(at(42))),
            elsewhere,
            beside,
            released(0, Outcome::Failed(at(2))),
        ];
        let figures = Figures::of(&deployments, TimeDelta::days(1));
        assert_eq!(minutes(figures.time_to_restore), Some(40));
        deployments.reverse();
        assert_eq!(Figures::of(&deployments, TimeDelta::days(1)), figures);
    }

    #[test]
    fn a_rollback_has_no_lead_time_and_a_clock_that_jumped_none_either() {
        let rolled_back = rolled_back(100, Outcome::Healthy(at(101)));
        let from_the_future = Deployment { built_at: Some(at(900)), ..released(100, Outcome::Unknown) };
        let unknown = Deployment { built_at: None, ..released(100, Outcome::Unknown) };
        assert_eq!(Figures::of(&[rolled_back, from_the_future, unknown], TimeDelta::days(1)).lead_time, None);
    }
}
