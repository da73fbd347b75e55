//! Reports about one object.

use release_core::rollout::{ContainerError, JobFailed, PodFailed, Report, Succeeded};

use super::{
    Alert, Effect, Rules,
    job::Job,
    objects::Key,
    pod::Trouble,
    workload::{Judged as _, Outcome, Rollout},
    workload_id,
};
use crate::{Happening, Observation, happening::id, managed::Managed};

/// What a report is about.
pub(super) struct Subject<'a> {
    pub(super) rules: &'a Rules,
    pub(super) key: &'a Key,
    pub(super) uid: &'a str,
    pub(super) managed: &'a Managed,
}

impl Subject<'_> {
    /// `None`: it goes on, or nobody wants to know.
    pub(super) fn ended(&self, kind: &str, generation: i64, rollout: &Rollout) -> Option<Happening> {
        let Self { key, uid, managed, .. } = self;
        let (id, report) = match rollout.outcome.as_ref()? {
            Outcome::JobDone => return None,
            Outcome::JobFailed(errors) => {
                let id = id(&[Job::KIND, uid, &managed.artifact_id]);
                (id, Report::JobFailed(self.job_failed(errors.clone())))
            }
            Outcome::Succeeded => {
                let generation = generation.to_string();
                let parts = [kind, &key.namespace, &key.name, uid, &managed.artifact_id, &generation];
                (id(&parts), Report::Succeeded(self.succeeded(kind, rollout)))
            }
        };
        let observation =
            Observation { workload: workload_id(kind, key), artifact_id: managed.artifact_id.clone() };
        Some(Happening { id, report, observation: Some(observation) })
    }

    fn succeeded(&self, kind: &str, rollout: &Rollout) -> Succeeded {
        Succeeded {
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            resource_type: kind.to_owned(),
            available_pods: rollout.available,
            replicas: rollout.desired,
            artifact_id: self.managed.artifact_id.clone(),
            author_email: self.managed.author_email.clone(),
            squad: self.managed.squad.clone(),
            environment: self.rules.environment.clone(),
        }
    }

    fn job_failed(&self, errors: Vec<release_core::rollout::ConditionError>) -> JobFailed {
        JobFailed {
            job_name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            errors,
            author_email: self.managed.author_email.clone(),
            environment: self.rules.environment.clone(),
            artifact_id: self.managed.artifact_id.clone(),
            squad: self.managed.squad.clone(),
        }
    }

    /// Each container and kind by itself, so that the id does not depend on what else is wrong.
    pub(super) fn troubled(&self, trouble: Trouble) -> Effect {
        let restarts = trouble.restarts.to_string();
        let id = id(&["Pod", self.uid, &trouble.container, &trouble.kind, &restarts]);
        let log_of = trouble.is_crash().then(|| trouble.container.clone());
        let error = ContainerError { name: trouble.container, message: trouble.message, kind: trouble.kind };
        let happening = Happening { id, report: self.pod_failed(error), observation: None };
        Effect { happening, log_of }
    }

    /// The same words about the same artifact are the same happening within an hour: Flux repeats them every few
    /// minutes for as long as something is broken.
    pub(super) fn alerted(&self, alert: &Alert) -> Happening {
        let Alert { kind, reason, message, .. } = alert;
        let hour = alert.at.map(|at| at.format("%Y-%m-%dT%H").to_string()).unwrap_or_default();
        let id = id(&["Alert", kind, self.uid, &self.managed.artifact_id, reason, message, &hour]);
        let error = ContainerError {
            name: format!("{}/{}", alert.kind, alert.name),
            message: alert.message.clone(),
            kind: alert.reason.clone(),
        };
        Happening { id, report: self.pod_failed(error), observation: None }
    }

    fn pod_failed(&self, error: ContainerError) -> Report {
        Report::PodFailed(PodFailed {
            pod_name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            errors: vec![error],
            author_email: self.managed.author_email.clone(),
            environment: self.rules.environment.clone(),
            artifact_id: self.managed.artifact_id.clone(),
            squad: self.managed.squad.clone(),
            alert_squad: self.managed.alert_channel.clone(),
        })
    }
}
