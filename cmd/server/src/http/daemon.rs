//! `POST /webhook/daemon/k8s/…`: what daemons tell of their clusters, ours and those of the field.

use axum::{Json, extract::State, http::HeaderMap};
use release_api::IDEMPOTENCY_KEY_HEADER;
use release_core::rollout::{ConditionError, ContainerError, JobFailed, PodFailed, Report, Succeeded};
use serde_json::{Map, Value};
use tracing::Span;
use uuid::Uuid;

use super::{
    AppState,
    error::ApiError,
    fields::{Body, Fields, Noted},
    request,
};

/// How many errors of one pod or job are taken; the others are left out.
const MAX_ERRORS: usize = 50;
/// How much of one error's message is taken, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

type Answer = Result<Json<Map<String, Value>>, ApiError>;

/// `POST /webhook/daemon/k8s/deploy`
pub(super) async fn succeeded(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Answer {
    let id = event_id(&mut fields, &headers);
    let common = Common::read(&mut fields);
    let name = fields.text("name");
    let resource_type = fields.text("resourceType");
    let available_pods = fields.number("availablePods");
    let replicas = fields.number("replicas");
    let (id, body) = fields.finish(|| {
        let Common { namespace, artifact_id, author_email, squad, environment } = common?;
        let (name, resource_type) = (name?, resource_type?);
        let (available_pods, replicas) = (available_pods?, replicas?);
        let body = Succeeded {
            name,
            namespace,
            resource_type,
            available_pods,
            replicas,
            artifact_id,
            author_email,
            squad,
            environment,
        };
        Ok((id?, body))
    })?;
    accept(&state, id, Report::Succeeded(body)).await
}

/// `POST /webhook/daemon/k8s/error`
pub(super) async fn pod_failed(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Answer {
    let id = event_id(&mut fields, &headers);
    let common = Common::read(&mut fields);
    let pod_name = fields.text("podName");
    let alert_squad = fields.optional_text("alertSquad");
    let errors = errors(&mut fields, |error| ContainerError {
        name: error("name"),
        message: error("message"),
        kind: error("type"),
    });
    let (id, body) = fields.finish(|| {
        let Common { namespace, artifact_id, author_email, squad, environment } = common?;
        let (pod_name, errors, alert_squad) = (pod_name?, errors?, alert_squad?);
        let body = PodFailed {
            pod_name,
            namespace,
            errors,
            author_email,
            environment,
            artifact_id,
            squad,
            alert_squad,
        };
        Ok((id?, body))
    })?;
    accept(&state, id, Report::PodFailed(body)).await
}

/// `POST /webhook/daemon/k8s/joberror`
pub(super) async fn job_failed(
    State(state): State<AppState>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Answer {
    let id = event_id(&mut fields, &headers);
    let common = Common::read(&mut fields);
    let job_name = fields.text("jobName");
    let errors =
        errors(&mut fields, |error| ConditionError { reason: error("reason"), message: error("message") });
    let (id, body) = fields.finish(|| {
        let Common { namespace, artifact_id, author_email, squad, environment } = common?;
        let (job_name, errors) = (job_name?, errors?);
        let body = JobFailed { job_name, namespace, errors, author_email, environment, artifact_id, squad };
        Ok((id?, body))
    })?;
    accept(&state, id, Report::JobFailed(body)).await
}

/// What all three have.
struct Common {
    namespace: String,
    artifact_id: String,
    author_email: String,
    squad: String,
    environment: String,
}

impl Common {
    fn read(fields: &mut Fields) -> Result<Self, Noted> {
        let namespace = fields.name("namespace");
        let artifact_id = fields.name("artifactId");
        let author_email = fields.optional_text("authorEmail");
        let squad = fields.optional_text("squad");
        let environment = fields.name("environment");
        Ok(Self {
            namespace: namespace?.to_string(),
            artifact_id: artifact_id?.to_string(),
            author_email: author_email?,
            squad: squad?,
            environment: environment?.to_string(),
        })
    }
}

/// The daemon's own id of what it tells. Daemons of the field give none: what they repeat is told again.
fn event_id(fields: &mut Fields, headers: &HeaderMap) -> Result<Uuid, Noted> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY_HEADER) else { return Ok(Uuid::new_v4()) };
    let id = value.to_str().ok().and_then(|value| Uuid::parse_str(value).ok());
    id.ok_or_else(|| fields.refuse(&format!("header {IDEMPOTENCY_KEY_HEADER}"), "must be a UUID"))
}

/// The list `errors`. Messages are in the words of programs: long, and with line breaks.
fn errors<T>(fields: &mut Fields, read: impl Fn(&dyn Fn(&str) -> String) -> T) -> Result<Vec<T>, Noted> {
    let problem = match fields.optional_value("errors")? {
        None => return Ok(Vec::new()),
        Some(Value::Array(errors)) if errors.iter().all(Value::is_object) => {
            let text = |error: &Value, name: &str| {
                let text = error.get(name).and_then(Value::as_str).unwrap_or_default();
                text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
            };
            let errors = errors.iter().take(MAX_ERRORS);
            return Ok(errors.map(|error| read(&|name| text(error, name))).collect());
        }
        Some(_) => "must be a list of objects",
    };
    Err(fields.refuse("errors", problem))
}

/// Answers when the report is durable.
async fn accept(state: &AppState, id: Uuid, report: Report) -> Answer {
    Span::current()
        .record("environment", report.environment())
        .record("artifact-id", report.artifact_id())
        .record("event", tracing::field::display(id));
    let flow = state.flow()?;
    let request_id = request::current_id().to_string();
    state.timed("rollout_report", flow.report(id, report, request_id)).await?;
    Ok(Json(Map::new()))
}

#[cfg(test)]
mod tests;
