//! Where reports go.

use std::time::Duration;

use chrono::{DateTime, Utc};
use release_broker::{Lease, Message, Publisher};
use release_client::{Client, ClientConfig, ClientError};
use release_core::{
    full_message,
    rollout::{ClusterState, Report},
};
use release_telemetry::TraceContext;
use uuid::Uuid;

use crate::{
    cli::VERSION,
    flags::{BrokerType, StartFlags},
};

/// The largest body that the server takes.
const MAX_HTTP_BODY: usize = 16 << 20;
/// A little less than the server takes from a queue.
const MAX_AMQP_BODY: usize = 7 << 20;

/// A state that waits in a queue for longer is not worth reading: a complete one comes every minute.
const STATE_LIFETIME: Duration = Duration::from_mins(1);

/// The other side.
pub(crate) enum Target {
    Http(Client),
    Amqp(Box<Publisher>),
}

/// Why a report did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TellError {
    /// It may arrive later.
    #[error("{0}")]
    Away(String),
    /// It never will.
    #[error("{0}")]
    Refused(String),
    /// The server is too old for it.
    #[error("the server does not know such reports")]
    Unsupported,
}

impl Target {
    pub(crate) fn open(flags: &StartFlags) -> anyhow::Result<Self> {
        Ok(match flags.broker_type {
            BrokerType::Amqp => Self::Amqp(Box::new(Publisher::new(flags.amqp.config(flags.http_timeout)?))),
            BrokerType::Http => Self::Http(Client::new(ClientConfig {
                base_url: flags.release_manager_url.clone(),
                timeout: flags.http_timeout,
                credentials: flags.login.credentials()?,
                cli_version: VERSION.to_owned(),
                trace: TraceContext::current_header,
            })?),
        })
    }

    /// Returns when the other side has it for good. Under the same id it has no second effect there.
    pub(crate) async fn tell(
        &self,
        report: &Report,
        id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<(), TellError> {
        match self {
            Self::Http(client) => client.tell(report, id).await.map_err(|error| tell_error(&error)),
            Self::Amqp(publisher) => {
                let message = Message {
                    id,
                    kind: report.kind().to_owned(),
                    correlation_id: id.to_string(),
                    accepted_at: since,
                    body: report.to_json(),
                    trace: TraceContext::current_header(),
                    lease: Lease::default(),
                };
                let result = match report {
                    Report::State(_) => publisher.publish_for(STATE_LIFETIME, &message).await,
                    _ => publisher.publish(&message).await,
                };
                result.map_err(|error| TellError::Away(full_message(&error)))
            }
        }
    }

    /// A state that is too large for one message is told in several that are not complete.
    pub(crate) async fn tell_state(&self, state: ClusterState) -> Result<(), TellError> {
        let limit = match self {
            Self::Http(_) => MAX_HTTP_BODY,
            Self::Amqp(_) => MAX_AMQP_BODY,
        };
        for part in parts(state, limit) {
            let observed_at = part.observed_at;
            self.tell(&Report::State(part), Uuid::new_v4(), observed_at).await?;
        }
        Ok(())
    }
}

fn tell_error(error: &ClientError) -> TellError {
    match error {
        ClientError::Unsupported { .. } => TellError::Unsupported,
        error if matches!(error.status(), Some(400 | 413 | 422)) => TellError::Refused(full_message(error)),
        error => TellError::Away(full_message(error)),
    }
}

fn parts(state: ClusterState, limit: usize) -> Vec<ClusterState> {
    let size = |state: &ClusterState| Report::State(state.clone()).to_json().len();
    if state.workloads.len() < 2 || size(&state) <= limit {
        return vec![state];
    }
    let mut first = ClusterState { is_complete: false, ..state };
    let rest = first.workloads.split_off(first.workloads.len() / 2);
    let rest = ClusterState { workloads: rest, gone: Vec::new(), ..first.clone() };
    parts(first, limit).into_iter().chain(parts(rest, limit)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use release_core::rollout::{Phase, Workload, WorkloadId};

    use super::*;

    fn workload(number: usize) -> Workload {
        Workload {
            id: WorkloadId { kind: "Job".into(), namespace: "dev".into(), name: format!("job-{number}") },
            artifact_id: String::new(),
            squad: String::new(),
            images: Vec::new(),
            desired: 1,
            available: 0,
            phase: Phase::Progressing,
            since: DateTime::UNIX_EPOCH,
            error: None,
        }
    }

    #[test]
    fn a_large_state_is_told_in_parts_and_a_small_one_as_it_is() {
        let workloads: Vec<_> = (0..100).map(workload).collect();
        let state = ClusterState {
            environment: "prod".into(),
            observed_at: DateTime::UNIX_EPOCH,
            is_complete: true,
            workloads: workloads.clone(),
            gone: vec![workload(100).id],
            appliers: Vec::new(),
        };
        assert_eq!(parts(state.clone(), MAX_AMQP_BODY), std::slice::from_ref(&state));
        let parts = parts(state, 4096);
        assert!(parts.len() > 1);
        assert!(
            parts.iter().all(|part| !part.is_complete && Report::State(part.clone()).to_json().len() <= 4096)
        );
        assert_eq!(parts.iter().map(|part| part.gone.len()).sum::<usize>(), 1);
        let together: Vec<_> = parts.into_iter().flat_map(|part| part.workloads).collect();
        assert_eq!(together, workloads);
    }

    #[test]
    fn only_what_the_server_cannot_take_is_refused_for_good() {
        let refused = |status| ClientError::Refused { status, message: "no".into(), request_id: Uuid::nil() };
        for (status, for_good) in
            [(400, true), (413, true), (422, true), (403, false), (404, false), (429, false)]
        {
            assert_eq!(matches!(tell_error(&refused(status)), TellError::Refused(_)), for_good, "{status}");
        }
        let down = ClientError::ServerFailed { status: 500, message: "x".into(), request_id: Uuid::nil() };
        assert!(matches!(tell_error(&down), TellError::Away(_)));
    }
}
