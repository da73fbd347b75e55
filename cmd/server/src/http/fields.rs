//! Reads the fields of a request and finds all that is wrong with them, not only the first.

use std::fmt;

use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::request::Parts,
};
use chrono::TimeDelta;
use futures::StreamExt;
use release_core::{Intent, Name};
use serde_json::{Map, Value};
use url::form_urlencoded;
use uuid::Uuid;

use super::error::{ApiError, MAX_BODY_BYTES};

/// The longest text of a field, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 1024;
/// The largest `count`.
const MAX_COUNT: u16 = 1000;
/// The longest look back.
const MAX_DAYS: u16 = 365;
/// How many bad fields one message names.
const MAX_PROBLEMS: usize = 20;
/// How much of somebody else's text a message repeats, in characters.
const MAX_QUOTED_CHARS: usize = 200;

const INTENT_KINDS: &str = "ReleaseArtifact, ReleaseBranch, Promote, Rollback, AutoRelease";

/// The fields of a request. Read each that matters, then [`Fields::finish`].
///
/// A field is named by its path, as in `intent.promote.fromEnvironment`. `null` is as
/// good as missing.
#[derive(Debug)]
pub(super) struct Fields {
    values: Value,
    problems: Vec<String>,
    /// How many problems there are beyond the first [`MAX_PROBLEMS`].
    more: usize,
}

/// A field is wrong, and its [`Fields`] have noted how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted;

impl Fields {
    pub(super) fn new(values: Map<String, Value>) -> Self {
        Self { values: Value::Object(values), problems: Vec::new(), more: 0 }
    }

    pub(super) fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        if body.trim_ascii().is_empty() {
            return Err(ApiError::NoBody);
        }
        match serde_json::from_slice(body).map_err(ApiError::NotJson)? {
            Value::Object(values) => Ok(Self::new(values)),
            _ => Err(ApiError::NotAnObject),
        }
    }

    /// Notes what is wrong with a field; `problem` reads on after its name.
    pub(super) fn refuse(&mut self, field: &str, problem: impl fmt::Display) -> Noted {
        // A hostile request has more of them than can be compared in reasonable time.
        if self.problems.len() >= MAX_PROBLEMS {
            self.more += 1;
            return Noted;
        }
        let problem = format!("{field} {problem}");
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Noted
    }

    pub(super) fn optional_value(&mut self, path: &str) -> Result<Option<Value>, Noted> {
        match find(&self.values, path) {
            Ok(value) => Ok(value.cloned()),
            Err(parent) => Err(self.refuse(parent, "must be an object")),
        }
    }

    /// A text that may be missing; it is empty then.
    pub(super) fn optional_text(&mut self, path: &str) -> Result<String, Noted> {
        let problem = match self.optional_value(path)? {
            None => return Ok(String::new()),
            Some(Value::String(text)) if text.len() > MAX_TEXT_BYTES => {
                format!("must not be longer than {MAX_TEXT_BYTES} bytes")
            }
            Some(Value::String(text)) if text.contains(char::is_control) => {
                "must not contain control characters".to_owned()
            }
            Some(Value::String(text)) => return Ok(text),
            Some(other) => format!("must be a text, not {}", kind_of(&other)),
        };
        Err(self.refuse(path, problem))
    }

    pub(super) fn text(&mut self, path: &str) -> Result<String, Noted> {
        let text = self.optional_text(path)?;
        if text.is_empty() { Err(self.refuse(path, "must be given")) } else { Ok(text) }
    }

    pub(super) fn name(&mut self, path: &str) -> Result<Name, Noted> {
        let text = self.text(path)?;
        Name::new(&text).map_err(|problem| self.refuse(path, problem))
    }

    /// `None` when the field is missing or empty.
    pub(super) fn optional_name(&mut self, path: &str) -> Result<Option<Name>, Noted> {
        if self.optional_text(path)?.is_empty() { Ok(None) } else { self.name(path).map(Some) }
    }

    /// A list of 1 to `max` texts.
    pub(super) fn texts(&mut self, path: &str, max: usize) -> Result<Vec<String>, Noted> {
        let problem = match self.optional_value(path)? {
            Some(Value::Array(values)) if values.len() > max => {
                format!("must not have more than {max} entries")
            }
            Some(Value::Array(values)) if !values.is_empty() => match texts(values) {
                Ok(texts) => return Ok(texts),
                Err(problem) => problem.to_owned(),
            },
            None | Some(Value::Array(_)) => "must be given".to_owned(),
            Some(other) => format!("must be a list, not {}", kind_of(&other)),
        };
        Err(self.refuse(path, problem))
    }

    pub(super) fn uuid(&mut self, path: &str) -> Result<Uuid, Noted> {
        let text = self.text(path)?;
        Uuid::parse_str(&text).map_err(|_| self.refuse(path, "must be a UUID"))
    }

    /// A whole number; 0 when it is missing.
    pub(super) fn number(&mut self, path: &str) -> Result<i32, Noted> {
        let Some(value) = self.optional_value(path)? else { return Ok(0) };
        let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| self.refuse(path, "must be a whole number"))
    }

    /// How many of something, from 1 to 1000 and 1 when not given; a text of digits, as queries are.
    pub(super) fn count(&mut self, path: &str) -> Result<usize, Noted> {
        self.up_to(MAX_COUNT, path, 1).map(usize::from)
    }

    /// A whole number of days, from 1 to 365 and 30 when not given.
    pub(super) fn days(&mut self, path: &str) -> Result<TimeDelta, Noted> {
        self.up_to(MAX_DAYS, path, 30).map(|days| TimeDelta::days(days.into()))
    }

    fn up_to(&mut self, max: u16, path: &str, default: u16) -> Result<u16, Noted> {
        let text = self.optional_text(path)?;
        if text.is_empty() {
            return Ok(default);
        }
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| self.refuse(path, format_args!("must be a whole number from 1 to {max}")))
    }

    pub(super) fn intent(&mut self, path: &str) -> Result<Intent, Noted> {
        let kind_path = format!("{path}.type");
        let kind = self.text(&kind_path)?;
        let detail = match kind.as_str() {
            "ReleaseBranch" => self.optional_text(&format!("{path}.releaseBranch.branch"))?,
            "Promote" => self.name_or_empty(&format!("{path}.promote.fromEnvironment"))?,
            "Rollback" => self.name_or_empty(&format!("{path}.rollback.previousArtifactId"))?,
            _ => String::new(),
        };
        Intent::from_kind(&kind, &detail)
            .ok_or_else(|| self.refuse(&kind_path, format_args!("must be one of {INTENT_KINDS}")))
    }

    fn name_or_empty(&mut self, path: &str) -> Result<String, Noted> {
        Ok(self.optional_name(path)?.map(|name| name.to_string()).unwrap_or_default())
    }

    /// What `from` makes of the fields that were read, or all that is wrong with them.
    pub(super) fn finish<T>(mut self, from: impl FnOnce() -> Result<T, Noted>) -> Result<T, ApiError> {
        match from() {
            Ok(made) if self.problems.is_empty() => Ok(made),
            _ => {
                if self.more > 0 {
                    self.problems.push(format!("and {} more", self.more));
                }
                Err(ApiError::Fields(self.problems))
            }
        }
    }
}

/// Follows a path of field names. The error is the path of what should be an object and is not.
fn find<'v, 'p>(values: &'v Value, path: &'p str) -> Result<Option<&'v Value>, &'p str> {
    let mut value = values;
    let mut walked = 0;
    for part in path.split('.') {
        let Value::Object(fields) = value else { return Err(&path[..walked]) };
        let Some(next) = fields.get(part).filter(|next| !next.is_null()) else { return Ok(None) };
        value = next;
        walked += part.len() + usize::from(walked > 0);
    }
    Ok(Some(value))
}

fn texts(values: Vec<Value>) -> Result<Vec<String>, &'static str> {
    let text = |value| match value {
        Value::String(text) if text.is_empty() || text.len() > 2 * MAX_TEXT_BYTES => {
            Err("must not hold empty or very long texts")
        }
        Value::String(text) if text.contains(char::is_control) => Err("must not hold control characters"),
        Value::String(text) => Ok(text),
        _ => Err("must hold texts only"),
    };
    values.into_iter().map(text).collect()
}

/// Somebody else's text, short and on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String =
        text.chars().take(MAX_QUOTED_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Extractor: the fields of the JSON body.
pub(super) struct Body(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Fields::from_json(&read(request.into_body()).await?).map(Self)
    }
}

/// The body, if it is not too long.
pub(super) async fn read(body: axum::body::Body) -> Result<Vec<u8>, ApiError> {
    read_up_to(MAX_BODY_BYTES, body).await
}

/// The body, if it is not longer than `max` bytes. What is too long is received to its end
/// nevertheless, within reason: who is still sending would not see the answer.
pub(super) async fn read_up_to(max: usize, body: axum::body::Body) -> Result<Vec<u8>, ApiError> {
    const MAX_DISCARDED_BYTES: usize = 16 * MAX_BODY_BYTES;
    let mut chunks = body.into_data_stream();
    let mut kept = Vec::new();
    let mut received = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::BodyCutOff)?;
        received += chunk.len();
        if received <= max {
            kept.extend_from_slice(&chunk);
        } else if received > max.max(MAX_DISCARDED_BYTES) {
            break;
        }
    }
    if received > max { Err(ApiError::BodyTooLong(max)) } else { Ok(kept) }
}

/// Extractor: the fields of the address, those of the path and those of the query.
pub(super) struct Address(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::AddressNotUtf8)?;
        Ok(Self(address_fields(path.iter(), parts.uri.query().unwrap_or_default())))
    }
}

fn address_fields<'a>(path: impl Iterator<Item = (&'a str, &'a str)>, query: &str) -> Fields {
    let mut values = Map::new();
    let mut repeated = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if values.insert(name.to_string(), value.as_ref().into()).is_some() {
            repeated.push(quoted(&name));
        }
    }
    // Last, so that a query cannot replace what the route has matched.
    values.extend(path.map(|(name, value)| (name.to_owned(), value.into())));
    let mut fields = Fields::new(values);
    for name in repeated {
        fields.refuse(&name, "must be given once");
    }
    fields
}

#[cfg(test)]
mod tests;
