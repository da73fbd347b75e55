//! `POST /artifacts/create`

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine, prelude::BASE64_STANDARD};
use release_api::CreateArtifactResponse;
use release_core::Spec;
use serde::Deserialize;
use serde_json::Value;
use tracing::Span;

use super::{
    AppState,
    error::ApiError,
    fields::{Body, Fields, Noted, quoted},
};

const MD5_BYTES: usize = 16;
/// The longest text anywhere in a spec, in bytes; commit messages are the long ones.
const MAX_SPEC_TEXT_BYTES: usize = 64 << 10;

pub(super) async fn create(
    State(state): State<AppState>,
    Body(fields): Body,
) -> Result<(StatusCode, Json<CreateArtifactResponse>), ApiError> {
    let (spec, md5) = read(fields)?;
    Span::current().record("service", &spec.service).record("artifact-id", &spec.id);
    let flow = state.flow()?;
    let artifact_upload_url = state.timed("create_artifact", flow.create_artifact(spec, md5)).await?;
    Ok((StatusCode::CREATED, Json(CreateArtifactResponse { artifact_upload_url })))
}

fn read(mut fields: Fields) -> Result<(Spec, String), ApiError> {
    let md5 = md5(&mut fields);
    let spec = spec(&mut fields);
    fields.finish(|| Ok((spec?, md5?)))
}

fn md5(fields: &mut Fields) -> Result<String, Noted> {
    let md5 = fields.text("md5")?;
    match BASE64_STANDARD.decode(&md5) {
        Ok(sum) if sum.len() == MD5_BYTES => Ok(md5),
        _ => Err(fields.refuse("md5", format_args!("must be {MD5_BYTES} bytes in base64"))),
    }
}

fn spec(fields: &mut Fields) -> Result<Spec, Noted> {
    let Some(value) = fields.optional_value("artifact")? else {
        return Err(fields.refuse("artifact", "must be given"));
    };
    // Noted like everything else that is wrong with the spec, and not looked at before `finish`.
    let _ = (fields.name("artifact.id"), fields.name("artifact.service"));
    let _ = fields.optional_name("artifact.namespace");
    check_texts(fields, "artifact", &value);
    Spec::deserialize(value).map_err(|error| {
        fields.refuse("artifact", format_args!("is no spec: {}", quoted(&error.to_string())))
    })
}

/// No text of a spec may be huge or hold control characters, line breaks and tabs aside.
fn check_texts(fields: &mut Fields, path: &str, value: &Value) {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match value {
        Value::String(text) if text.len() > MAX_SPEC_TEXT_BYTES => {
            fields.refuse(path, format_args!("must not be longer than {MAX_SPEC_TEXT_BYTES} bytes"));
        }
        Value::String(text) if text.contains(bad) => {
            fields.refuse(path, "must not contain control characters");
        }
        Value::Array(values) => {
            for value in values {
                check_texts(fields, path, value);
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                check_texts(fields, &format!("{path}.{}", quoted(name)), value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

    fn read_body(body: &Value) -> Result<(Spec, String), String> {
        read(Fields::from_json(body.to_string().as_bytes()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_spec_and_its_checksum_are_read() {
        let artifact = json!({"id": "m-1-2", "service": "Søren", "namespace": "", "stages": null,
            "application": {"message": "first line\n\n\tmore"}});
        let (spec, md5) = read_body(&json!({"artifact": artifact, "md5": MD5})).unwrap();
        assert_eq!((spec.id.as_str(), spec.service.as_str(), md5.as_str()), ("m-1-2", "Søren", MD5));
    }

    #[test]
    fn whatever_is_wrong_with_the_spec_is_named() {
        let huge = "x".repeat(1 << 19);
        for (artifact, problem) in [
            (json!(null), "artifact must be given"),
            (json!("text"), "artifact must be an object"),
            (json!({"service": "svc"}), "artifact.id must be given"),
            (json!({"id": "a"}), "artifact.service must be given"),
            (json!({"id": 7, "service": "svc"}), "artifact.id must be a text, not a number"),
            (json!({"id": "../a", "service": "svc"}), "artifact.id must not contain '/'"),
            (json!({"id": "a", "service": ".git"}), "artifact.service must not start with '.git'"),
            (json!({"id": "a", "service": "svc", "namespace": "/"}), "artifact.namespace must not contain"),
            (json!({"id": "a", "service": "svc", "colour": "red"}), "unknown field `colour`"),
            (json!({"id": "a", "service": "svc", "squad": 1}), "invalid type: integer `1`"),
            (json!({"id": "a", "service": "svc", "squad": huge}), "artifact.squad must not be longer than"),
            (
                json!({"id": "a", "service": "svc", "application": {"authorName": "\u{1b}[2J"}}),
                "artifact.application.authorName must not contain control characters",
            ),
            (
                json!({"id": "a", "service": "svc", "stages": [{"id": "x", "data": {"y": ["\u{0}"]}}]}),
                "artifact.stages.data.y must not contain control characters",
            ),
            (json!({"id": "a", "service": "svc", "ci": {"start": "yesterday"}}), "artifact is no spec"),
        ] {
            let message = read_body(&json!({"artifact": artifact, "md5": MD5})).unwrap_err();
            assert!(message.contains(problem), "{problem} is not in: {message:.300}");
        }
    }

    #[test]
    fn an_unknown_field_with_a_huge_name_makes_no_huge_message() {
        let artifact = json!({"id": "a", "service": "svc", ("x".repeat(1 << 19)): "\u{0}"});
        let message = read_body(&json!({"artifact": artifact, "md5": MD5})).unwrap_err();
        assert!(message.len() < 1000, "{} bytes", message.len());
    }

    #[test]
    fn the_checksum_is_16_bytes_in_base64() {
        for md5 in [
            json!(null),
            json!(""),
            json!(7),
            json!("zzz"),
            json!("d41d8cd98f00b204e9800998ecf8427e"),
            json!("AAAA"),
        ] {
            let message =
                read_body(&json!({"artifact": {"id": "a", "service": "s"}, "md5": md5})).unwrap_err();
            assert!(message.starts_with("The request is not valid: md5 must be"), "{message}");
        }
    }
}
