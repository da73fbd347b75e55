//! Where reports go.

use chrono::{DateTime, Utc};
use release_broker::{Lease, Message, Publisher};
use release_client::{Client, ClientConfig, ClientError};
use release_core::{
    full_message,
    rollout::{ClusterState, Report},
};
use uuid::Uuid;

use crate::{
    cli::VERSION,
    flags::{BrokerType, StartFlags},
};

/// The largest body that the server takes.
const MAX_HTTP_BODY: usize = 16 << 20;
const MAX_AMQP_BODY: usize = 1 << 20;

/// The other side.
pub(crate) enum Target {
    Http(Client),
    Amqp(Publisher),
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
            BrokerType::Amqp => Self::Amqp(Publisher::new(flags.amqp.config(flags.http_timeout)?)),
            BrokerType::Http => Self::Http(Client::new(ClientConfig {
                base_url: flags.release_manager_url.clone(),
                timeout: flags.http_timeout,
                credentials: flags.login.credentials()?,
                cli_version: VERSION.to_owned(),
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
                    lease: Lease::default(),
                };
                let result = publisher.publish(&message).await;
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
