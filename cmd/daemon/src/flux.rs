//! What Flux's notification controller says.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use release_cluster::Alert;
use release_core::full_message;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::AppState;

/// The longest text that is passed on, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// While so many reports wait, no more alerts are taken: whoever reaches the port must not fill the spool.
pub(crate) const MAX_WAITING: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FluxEvent {
    involved_object: InvolvedObject,
    severity: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    timestamp: String,
}

#[derive(Debug, Deserialize)]
struct InvolvedObject {
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
}

impl FluxEvent {
    /// `None`: nothing failed.
    fn alert(self) -> Option<Alert> {
        let InvolvedObject { kind, namespace, name } = self.involved_object;
        let [reason, message] = [&self.reason, &self.message].map(|text| cut(text).to_owned());
        let at = self.timestamp.parse().ok();
        (self.severity == "error").then_some(Alert { kind, namespace, name, reason, message, at })
    }
}

/// `POST /webhook/flux2-alerts`. Answered when the report is on disk.
pub(crate) async fn alerts(
    State(state): State<AppState>,
    event: Result<Json<FluxEvent>, JsonRejection>,
) -> (StatusCode, Json<Value>) {
    let event = match event {
        Ok(Json(event)) => event,
        Err(rejection) => return answer(rejection.status(), &rejection.body_text()),
    };
    let Some(alert) = event.alert() else { return done() };
    // A replica that does not watch knows no objects; Flux tries again, maybe at another one.
    let Some(cluster) = state.cluster() else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "this replica does not watch the cluster; try again");
    };
    let Some(happening) = cluster.alert(&alert) else { return done() };
    match state.spool().counts().await {
        Ok(counts) if counts.pending >= MAX_WAITING => {
            return answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many reports wait for the server; try again",
            );
        }
        _ => {}
    }
    match state.spool().keep(&happening).await {
        Ok(()) => done(),
        Err(error) => {
            tracing::error!(reason = full_message(&error), "an alert of Flux cannot be kept");
            answer(StatusCode::SERVICE_UNAVAILABLE, "the alert cannot be kept now; try again")
        }
    }
}

fn done() -> (StatusCode, Json<Value>) {
    (StatusCode::OK, Json(json!({})))
}

fn answer(status: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"status": status.as_u16(), "message": message})))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_alerts_and_long_texts_are_cut() {
        let event = |severity: &str, message: &str| -> FluxEvent {
            let event = json!({"involvedObject": {"kind": "Kustomization", "namespace": "flux-system", "name": "apps",
                "uid": "u", "apiVersion": "v1", "resourceVersion": "1"}, "severity": severity, "message": message,
                "reason": "BuildFailed", "timestamp": "2026-01-01T00:00:00Z",
                "reportingController": "kustomize-controller", "reportingInstance": "x"});
            serde_json::from_value(event).unwrap()
        };
        assert_eq!(event("info", "all is well").alert(), None);
        let alert = event("error", "no such file").alert().unwrap();
        assert_eq!((alert.kind.as_str(), alert.namespace.as_str()), ("Kustomization", "flux-system"));
        assert_eq!((alert.name.as_str(), alert.reason.as_str()), ("apps", "BuildFailed"));
        assert_eq!(alert.message, "no such file");
        assert_eq!(alert.at.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
        assert_eq!(event("error", &"ä".repeat(MAX_TEXT)).alert().unwrap().message.len(), MAX_TEXT);
    }
}
