//! Of several daemons in a cluster, one watches and tells: the one that holds the lease.
//!
//! No crate for it fits this version of kube, and those there are either patch without looking at the
//! version, so that two may think they hold it, or trust the other machine's clock.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease as Record, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Error,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, sleep, timeout};

use crate::failure;

/// For how long a lease that nobody renews is its holder's.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew it for so long gives it up, well before others may take it.
const RENEW_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(2);
const CONFLICT: u16 = 409;

/// A lease that this daemon wants or has.
pub struct Lease {
    api: Api<Record>,
    name: String,
    holder: String,
    /// The record as it was seen last, and when it was first seen so: other machines' clocks are not believed.
    seen: Option<(Record, Instant)>,
}

impl Lease {
    /// In the client's own namespace. `holder` is nobody else's.
    pub fn new(client: Client, name: &str, holder: String) -> Self {
        Self { api: Api::default_namespaced(client), name: name.to_owned(), holder, seen: None }
    }

    /// Returns when this daemon has it.
    pub async fn acquire(&mut self) {
        let mut last_problem = String::new();
        loop {
            match timeout(RENEW_LIMIT, self.try_to_acquire()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => last_problem.clear(),
                Ok(Err(error)) => note(&mut last_problem, failure::sentence(&error)),
                Err(_) => note(&mut last_problem, "the API server did not answer in time".to_owned()),
            }
            sleep(PAUSE).await;
        }
    }

    /// Renews it until it is lost; why it was.
    pub async fn keep(&mut self) -> String {
        let mut renewed = Instant::now();
        let mut problem = "no answer".to_owned();
        loop {
            sleep(PAUSE).await;
            let begun = Instant::now();
            let left = RENEW_LIMIT.saturating_sub(renewed.elapsed());
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return "another replica has it".to_owned(),
                Ok(Err(error)) => problem = failure::sentence(&error),
                Err(_) => {}
            }
            if renewed.elapsed() >= RENEW_LIMIT {
                return format!("it could not be renewed for {} s: {problem}", RENEW_LIMIT.as_secs());
            }
        }
    }

    /// Lets another replica have it at once.
    pub async fn release(mut self) {
        let Some((record, _)) = self.seen.take() else { return };
        let record = with_spec(record, |spec| {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        });
        // If it fails, the others wait for its end.
        let _ = timeout(PAUSE, self.api.replace(&self.name, &PostParams::default(), &record)).await;
    }

    async fn try_to_acquire(&mut self) -> Result<bool, Error> {
        let Some(record) = self.api.get_opt(&self.name).await? else { return self.write(None).await };
        let since = match &self.seen {
            Some((seen, since)) if seen.spec == record.spec => *since,
            _ => Instant::now(),
        };
        self.seen = Some((record.clone(), since));
        if is_free(record.spec.as_ref(), &self.holder, since.elapsed()) {
            return self.write(Some(record)).await;
        }
        Ok(false)
    }

    /// `false`: somebody else has it.
    async fn renew(&mut self) -> Result<bool, Error> {
        let before = self.seen.as_ref().map(|(record, _)| record.clone());
        if self.write(before).await? {
            return Ok(true);
        }
        // An earlier answer may have been lost, so what is there decides.
        let Some(record) = self.api.get_opt(&self.name).await? else { return self.write(None).await };
        let is_ours =
            record.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.holder);
        self.seen = Some((record.clone(), Instant::now()));
        if is_ours { self.write(Some(record)).await } else { Ok(false) }
    }

    /// Takes or renews it, if it still is as it was seen.
    async fn write(&mut self, before: Option<Record>) -> Result<bool, Error> {
        let parameters = PostParams::default();
        let written = match before {
            Some(record) => {
                let record = with_spec(record, |spec| self.claim(spec));
                self.api.replace(&self.name, &parameters, &record).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let record = Record { metadata, spec: None };
                self.api.create(&parameters, &with_spec(record, |spec| self.claim(spec))).await
            }
        };
        match written {
            Ok(record) => {
                self.seen = Some((record, Instant::now()));
                Ok(true)
            }
            Err(error) if failure::status(&error) == Some(CONFLICT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claim(&self, spec: &mut LeaseSpec) {
        let now = MicroTime(Timestamp::now());
        if spec.holder_identity.as_ref() != Some(&self.holder) {
            spec.holder_identity = Some(self.holder.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
        }
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
    }
}

fn with_spec(record: Record, change: impl FnOnce(&mut LeaseSpec)) -> Record {
    let mut spec = record.spec.unwrap_or_default();
    change(&mut spec);
    Record { spec: Some(spec), ..record }
}

/// Whether a record that has not changed for so long may be taken.
fn is_free(spec: Option<&LeaseSpec>, me: &str, unchanged_for: Duration) -> bool {
    let Some(spec) = spec else { return true };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    holder.is_empty() || holder == me || unchanged_for >= duration
}

fn note(last: &mut String, problem: String) {
    if *last != problem {
        tracing::warn!(reason = problem, "the lease cannot be looked at; trying again");
        *last = problem;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_free_when_nobody_has_it_or_it_was_not_renewed_in_time() {
        let held = |holder: &str| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let cases = [
            (None, 0, true),
            (Some(LeaseSpec::default()), 0, true),
            (Some(held("")), 0, true),
            (Some(held("me")), 0, true),
            (Some(held("other")), 0, false),
            (Some(held("other")), 14, false),
            (Some(held("other")), 15, true),
        ];
        for (spec, seconds, expected) in cases {
            let found = is_free(spec.as_ref(), "me", Duration::from_secs(seconds));
            assert_eq!(found, expected, "{spec:?} {seconds}");
        }
    }
}
