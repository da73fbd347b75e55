//! What a daemon tells.

use release_core::rollout::{ClusterState, Report};
use uuid::Uuid;

use crate::{
    Client, ClientError,
    call::{Call, Repeat},
    v1::or_unsupported,
};

impl Client {
    /// `POST /webhook/daemon/k8s/…`, or `POST /api/v1/cluster-state` for a state. Under the same id a happening
    /// has no second effect, except with servers of the field, which do not look at it.
    pub async fn tell(&self, report: &Report, id: Uuid) -> Result<(), ClientError> {
        let webhook = ["webhook", "daemon", "k8s"];
        match report {
            Report::Succeeded(body) => self.tell_at(&[&webhook[..], &["deploy"]].concat(), body, id).await,
            Report::PodFailed(body) => self.tell_at(&[&webhook[..], &["error"]].concat(), body, id).await,
            Report::JobFailed(body) => self.tell_at(&[&webhook[..], &["joberror"]].concat(), body, id).await,
            Report::State(body) => self.cluster_state(body).await,
        }
    }

    async fn tell_at<T: serde::Serialize>(
        &self,
        path: &[&str],
        body: &T,
        id: Uuid,
    ) -> Result<(), ClientError> {
        let call = Call::post(self.endpoint(path)?, body, Repeat::Always).with_this_idempotency_key(id);
        self.send_without_answer(&call).await
    }

    async fn cluster_state(&self, state: &ClusterState) -> Result<(), ClientError> {
        let url = self.endpoint(&["api", "v1", "cluster-state"])?;
        let result = self.send_without_answer(&Call::post(url, state, Repeat::Always)).await;
        result.map_err(|error| or_unsupported(error, "take the state of a cluster"))
    }
}
