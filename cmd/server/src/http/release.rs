//! `POST /release`

use axum::{Extension, Json, extract::State, http::HeaderMap};
use release_api::{IDEMPOTENCY_KEY_HEADER, ReleaseResponse};
use release_core::Person;
use release_flow::{Accepted, ReleaseRequest};
use tracing::Span;

use super::{
    AppState,
    access::Caller,
    auth::Audience,
    error::ApiError,
    fields::{Body, Fields, Noted},
    request,
};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

pub(super) async fn release(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(fields): Body,
) -> Result<Json<ReleaseResponse>, ApiError> {
    let request = read(fields, &headers, &caller)?;
    note(&request);
    let mut response = ReleaseResponse {
        service: request.service.to_string(),
        to_environment: request.environment.to_string(),
        tag: request.artifact_id.to_string(),
        ..ReleaseResponse::default()
    };
    let flow = state.flow()?;
    match state.timed("release", flow.release(request)).await? {
        Accepted::Queued { release_id } => {
            response.release_id = release_id.to_string();
            Span::current().record("event", &response.release_id);
        }
        Accepted::Unchanged => {
            response.status = format!("Environment '{}' is already up-to-date", response.to_environment);
        }
    }
    Ok(Json(response))
}

fn read(mut fields: Fields, headers: &HeaderMap, caller: &Caller) -> Result<ReleaseRequest, ApiError> {
    let service = fields.name("service");
    let environment = fields.name("environment");
    let artifact_id = fields.name("artifactId");
    let name = fields.optional_text("committerName");
    let email = fields.optional_text("committerEmail");
    let intent = fields.intent("intent");
    let idempotency_key = idempotency_key(&mut fields, headers);
    fields.finish(|| {
        Ok(ReleaseRequest {
            service: service?,
            environment: environment?,
            artifact_id: artifact_id?,
            actor: actor(&name?, &email?, caller),
            intent: intent?,
            idempotency_key: idempotency_key?,
            request_id: request::current_id().to_string(),
        })
    })
}

/// Who acts: whom an identity provider vouches for, else whom the caller names. Of those with a static
/// token who name nobody all that is known is that they use hamctl.
pub(super) fn actor(name: &str, email: &str, caller: &Caller) -> Person {
    let named = Person::new(name, email);
    match caller.subject() {
        // A name may be shown beside one's own address.
        Some(subject) if named.email().eq_ignore_ascii_case(subject) => named,
        Some(subject) => Person::new(subject, subject),
        None if named.is_unknown() => Person::new(Audience::Hamctl.name(), ""),
        None => named,
    }
}

/// `None` without the header.
fn idempotency_key(fields: &mut Fields, headers: &HeaderMap) -> Result<Option<String>, Noted> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY_HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(fields.refuse(
            &format!("header {IDEMPOTENCY_KEY_HEADER}"),
            format_args!("must be 1 to {MAX_KEY_BYTES} visible ASCII characters"),
        )),
    }
}

fn note(request: &ReleaseRequest) {
    Span::current()
        .record("service", request.service.as_str())
        .record("environment", request.environment.as_str())
        .record("artifact-id", request.artifact_id.as_str())
        .record("releaser", request.actor.display_name())
        .record("intent", request.intent.kind());
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use release_core::Intent;

    use super::*;
    use crate::http::access::Login;

    const FULL: &str = r#"{"service":"svc","environment":"dev","artifactId":"master-1-2","committerName":"Jane",
        "committerEmail":"j@x.io","intent":{"type":"Promote","promote":{"fromEnvironment":"staging"}},"future":1}"#;

    fn read_body(body: &str, headers: &HeaderMap) -> Result<ReleaseRequest, ApiError> {
        let caller = Caller { login: Login::StaticToken, audiences: vec![Audience::Hamctl] };
        read(Fields::from_json(body.as_bytes()).unwrap(), headers, &caller)
    }

    #[test]
    fn a_full_request_is_read() {
        let headers = HeaderMap::from_iter([(
            IDEMPOTENCY_KEY_HEADER.parse().unwrap(),
            HeaderValue::from_static("key-1"),
        )]);
        let request = read_body(FULL, &headers).unwrap();
        assert_eq!(request.service.as_str(), "svc");
        assert_eq!(request.environment.as_str(), "dev");
        assert_eq!(request.artifact_id.as_str(), "master-1-2");
        assert_eq!(request.actor, Person::new("Jane", "j@x.io"));
        assert_eq!(request.intent, Intent::Promote { from_environment: "staging".into() });
        assert_eq!(request.idempotency_key.as_deref(), Some("key-1"));
    }

    #[test]
    fn without_a_person_the_audience_released() {
        let body =
            r#"{"service":"s","environment":"e","artifactId":"a","intent":{"type":"ReleaseArtifact"}}"#;
        let request = read_body(body, &HeaderMap::new()).unwrap();
        assert_eq!(request.actor, Person::new("hamctl", ""));
        assert_eq!(request.idempotency_key, None);
    }

    #[test]
    fn whom_an_identity_provider_vouches_for_released_whatever_the_request_says() {
        let caller = Caller { login: Login::Subject("jane@x.io".into()), audiences: vec![Audience::Hamctl] };
        assert_eq!(actor("", "", &caller), Person::new("jane@x.io", "jane@x.io"));
        assert_eq!(actor("Joe", "joe@x.io", &caller), Person::new("jane@x.io", "jane@x.io"));
        assert_eq!(actor("Jane", "Jane@x.io", &caller), Person::new("Jane", "Jane@x.io"));
    }

    #[test]
    fn all_bad_fields_are_named_at_once() {
        let headers = HeaderMap::from_iter([(
            IDEMPOTENCY_KEY_HEADER.parse().unwrap(),
            HeaderValue::from_str(&"k".repeat(256)).unwrap(),
        )]);
        let body = r#"{"service":"../x","environment":7,"committerName":["x"],"committerEmail":"a\tb","intent":"Promote"}"#;
        let message = read_body(body, &headers).unwrap_err().to_string();
        for problem in [
            "service must not contain '/'",
            "environment must be a text, not a number",
            "artifactId must be given",
            "committerName must be a text, not a list",
            "committerEmail must not contain control characters",
            "intent must be an object",
            "header idempotency-key must be 1 to 255 visible ASCII characters",
        ] {
            assert!(message.contains(problem), "{problem} is not in: {message}");
        }
    }
}
