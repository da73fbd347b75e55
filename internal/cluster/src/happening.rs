//! What is told, and how it is known when it is told again.

use release_core::rollout::{Report, WorkloadId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened in the cluster and is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The same each time that the same is told, also by another daemon.
    pub id: Uuid,
    pub report: Report,
    /// What is to be noted in the cluster once it was told.
    pub observation: Option<Observation>,
}

/// That the end of an artifact's rollout was told. In the cluster it is an annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub workload: WorkloadId,
    pub artifact_id: String,
}

/// The id that follows from what the happening is about.
pub(crate) fn id(parts: &[&str]) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x0d3a_9d6e_4f0b_5c1e_9a54_4e7a_6b1f_2c80);
    // The lengths tell apart what only looks the same when it is joined.
    let parts: Vec<_> = parts.iter().map(|part| format!("{}:{part}\n", part.len())).collect();
    Uuid::new_v5(&NAMESPACE, parts.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_their_parts_and_stay_the_same_in_later_versions() {
        assert_ne!(id(&["a", "b"]), id(&["ab"]));
        assert_ne!(id(&["a", "b"]), id(&["b", "a"]));
        assert_ne!(id(&["a\n1:b"]), id(&["a", "b"]));
        assert_eq!(id(&["Deployment", "dev", "svc"]).to_string(), "a1fcc452-2cee-59fb-a328-03c33babf56e");
    }
}
