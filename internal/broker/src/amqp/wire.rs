//! Events as AMQP messages. What the field's implementation shares with us
//! (exchange, keys, properties, bodies) is exactly as there.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use crate::{DeadMessage, Lease, Message};

/// The longest body of an event, in bytes. Most of ours have some hundred; the state of a cluster
/// has some hundred for each workload. RabbitMQ itself takes 16 MiB.
pub(super) const MAX_BODY_BYTES: usize = 8 << 20;
/// How much of a body is kept for an operator, in bytes.
const MAX_DEAD_BODY_BYTES: usize = 1 << 20;

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;
const CONTENT_TYPE: &str = "application/json";

// Headers of a dead letter.
const REASON: &str = "release-manager-reason";
const BURIED_AT: &str = "release-manager-buried-at";
const EVENT_ID: &str = "release-manager-event-id";
/// The same names as in HTTP.
const TRACES: [&str; 2] = ["traceparent", "uber-trace-id"];
const OURS: [&str; 3] = [REASON, BURIED_AT, EVENT_ID];

/// All headers have to fit into one frame, which may have 128 KiB.
const MAX_REASON_BYTES: usize = 4 << 10;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 1 << 10;

/// What is published.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Letter {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// An event for the exchange that all share.
pub(super) fn letter(exchange: &str, message: &Message) -> Letter {
    let timestamp = u64::try_from(message.accepted_at.timestamp()).unwrap_or_default();
    let properties = BasicProperties::default()
        .with_type(short(&message.kind))
        .with_message_id(short(&message.id.to_string()))
        .with_correlation_id(short(&message.correlation_id))
        .with_content_type(CONTENT_TYPE.into())
        .with_timestamp(timestamp)
        .with_delivery_mode(PERSISTENT);
    let properties = match &message.trace {
        Some(trace) => properties.with_headers(trace_header(trace)),
        None => properties,
    };
    Letter {
        exchange: short(exchange),
        routing_key: routing_key(&message.kind),
        properties,
        body: message.body.clone(),
    }
}

fn trace_header(trace: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(TRACES[0].into(), AMQPValue::LongString(trace.into()));
    headers
}

/// [`letter`] that is worth nothing after a while, nor after a restart of RabbitMQ.
pub(super) fn passing_letter(exchange: &str, message: &Message, lifetime: Duration) -> Letter {
    let letter = letter(exchange, message);
    let properties = letter.properties.with_delivery_mode(TRANSIENT);
    Letter { properties: properties.with_expiration(short(&lifetime.as_millis().to_string())), ..letter }
}

/// With the prefix that consumers bind to.
fn routing_key(kind: &str) -> ShortString {
    short(&format!("#.{kind}"))
}

/// Whatever somebody published, as an event. Only its type and its body decide
/// later whether it is a good one.
pub(super) fn message(properties: &BasicProperties, body: &[u8]) -> Message {
    let text = |property: &Option<ShortString>| property.as_ref().map(ToString::to_string);
    let seconds = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
    Message {
        id: id(properties, body),
        kind: text(properties.kind()).unwrap_or_default(),
        correlation_id: text(properties.correlation_id()).unwrap_or_default(),
        accepted_at: seconds
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .unwrap_or_else(Utc::now),
        trace: TRACES.into_iter().find_map(|name| text_header(properties, name)),
        body: body.to_vec(),
        lease: Lease::default(),
    }
}

/// The same for each delivery of a message, also when the sender gave it no
/// message id, or one that is no UUID.
fn id(properties: &BasicProperties, body: &[u8]) -> Uuid {
    let Some(given) = properties.message_id() else {
        let kind = properties.kind().as_ref().map_or("", ShortString::as_str);
        let timestamp = properties.timestamp().unwrap_or_default();
        let name = [kind.as_bytes(), &timestamp.to_be_bytes(), body].join(&b'\n');
        return Uuid::new_v5(&Uuid::NAMESPACE_OID, &name);
    };
    Uuid::try_parse(given.as_str())
        .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, given.as_str().as_bytes()))
}

/// A letter for the queue of the dead: the same properties and body, and why it is there.
pub(super) fn dead_letter(
    queue: &str,
    original: &BasicProperties,
    body: &[u8],
    reason: &str,
    now: DateTime<Utc>,
) -> Letter {
    let mut headers = kept_headers(original);
    let mut add = |name: &str, value: String| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    add(REASON, cut(reason, MAX_REASON_BYTES).to_owned());
    add(BURIED_AT, now.to_rfc3339_opts(SecondsFormat::Millis, true));
    add(EVENT_ID, id(original, body).to_string());
    Letter {
        // The default exchange: the key is the queue's name.
        exchange: ShortString::default(),
        routing_key: short(queue),
        properties: kept_properties(original).with_headers(headers),
        body: body[..body.len().min(MAX_DEAD_BODY_BYTES)].to_vec(),
    }
}

/// What is in the queue of the dead. Other programs may have put anything there.
pub(super) fn dead_message(properties: &BasicProperties, body: &[u8]) -> DeadMessage {
    let header = |name| text_header(properties, name);
    let mut message = message(properties, body);
    if let Some(id) = header(EVENT_ID).and_then(|id| id.parse().ok()) {
        message.id = id;
    }
    let buried_at = header(BURIED_AT).and_then(|at| DateTime::parse_from_rfc3339(&at).ok());
    DeadMessage {
        reason: header(REASON).unwrap_or_else(|| "no reason is given".to_owned()),
        buried_at: buried_at.map_or(message.accepted_at, |at| at.to_utc()),
        message,
    }
}

fn text_header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        _ => None,
    }
}

/// The letter that a dead one was made of, for another try.
pub(super) fn revived(exchange: &str, properties: &BasicProperties, body: &[u8]) -> Letter {
    let dead = dead_message(properties, body);
    let headers: FieldTable = kept_headers(properties)
        .inner()
        .iter()
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into();
    let mut properties = kept_properties(properties).with_message_id(short(&dead.message.id.to_string()));
    if !headers.inner().is_empty() {
        properties = properties.with_headers(headers);
    }
    Letter {
        exchange: short(exchange),
        routing_key: routing_key(&dead.message.kind),
        properties,
        body: body.to_vec(),
    }
}

/// Not the expiration, which would empty our queue, nor the user, who would have to be ours.
fn kept_properties(original: &BasicProperties) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(kind) = original.kind() {
        kept = kept.with_type(kind.clone());
    }
    if let Some(id) = original.message_id() {
        kept = kept.with_message_id(id.clone());
    }
    if let Some(id) = original.correlation_id() {
        kept = kept.with_correlation_id(id.clone());
    }
    if let Some(content_type) = original.content_type() {
        kept = kept.with_content_type(content_type.clone());
    }
    if let Some(timestamp) = original.timestamp() {
        kept = kept.with_timestamp(*timestamp);
    }
    kept
}

/// Those that cannot make the frame of headers too long.
fn kept_headers(original: &BasicProperties) -> FieldTable {
    let headers = original.headers().iter().flat_map(FieldTable::inner);
    let is_short = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.len() <= MAX_HEADER_BYTES.max(MAX_REASON_BYTES),
        AMQPValue::FieldTable(_) | AMQPValue::FieldArray(_) | AMQPValue::ByteArray(_) => false,
        _ => true,
    };
    let kept = headers.filter(|(_, value)| is_short(value)).take(MAX_HEADERS);
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}

/// AMQP's short texts have at most 255 bytes; all of ours have less.
pub(super) fn short(text: &str) -> ShortString {
    cut(text, 255).into()
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_expires() {
        let message = message(&BasicProperties::default().with_type("rollout.state".into()), b"{}");
        let sent = |letter: Letter| {
            let properties = letter.properties;
            (*properties.delivery_mode(), properties.expiration().as_ref().map(ToString::to_string))
        };
        assert_eq!(sent(letter("x", &message)), (Some(PERSISTENT), None));
        let passing = passing_letter("x", &message, Duration::from_mins(1));
        assert_eq!(sent(passing), (Some(TRANSIENT), Some("60000".to_owned())));
    }
}
