//! How messages look on disk: a version byte, one line of JSON, then the
//! payload byte for byte. A later version can tell old records from new ones.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DeadMessage, Lease, Message};

const VERSION: u8 = 1;

/// Why a record is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("its format is unknown to this version of the server")]
    Version,
    #[error("its header is damaged")]
    Header,
}

#[derive(Serialize, Deserialize)]
struct MessageHeader {
    id: Uuid,
    kind: String,
    correlation_id: String,
    accepted_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct DeadHeader {
    reason: String,
    buried_at: DateTime<Utc>,
}

pub(super) fn encode(message: &Message) -> Vec<u8> {
    let header = MessageHeader {
        id: message.id,
        kind: message.kind.clone(),
        correlation_id: message.correlation_id.clone(),
        accepted_at: message.accepted_at,
        trace: message.trace.clone(),
    };
    join(&header, &message.body)
}

pub(super) fn decode(record: &[u8]) -> Result<Message, RecordError> {
    let (header, body): (MessageHeader, _) = split(record)?;
    Ok(Message {
        id: header.id,
        kind: header.kind,
        correlation_id: header.correlation_id,
        accepted_at: header.accepted_at,
        trace: header.trace,
        body: body.to_vec(),
        lease: Lease::default(),
    })
}

/// A dead letter keeps the record of its message as it was, so that one that
/// this version cannot read is whole for a version that can.
pub(super) fn encode_dead(record: &[u8], reason: &str, buried_at: DateTime<Utc>) -> Vec<u8> {
    join(&DeadHeader { reason: reason.to_owned(), buried_at }, record)
}

pub(super) fn decode_dead(record: &[u8]) -> DeadMessage {
    match split::<DeadHeader>(record) {
        Ok((header, inner)) => DeadMessage {
            message: decode(inner).unwrap_or_else(|_| unreadable(inner)),
            reason: header.reason,
            buried_at: header.buried_at,
        },
        Err(error) => DeadMessage {
            message: unreadable(record),
            reason: format!("the dead letter cannot be read: {error}"),
            buried_at: DateTime::UNIX_EPOCH,
        },
    }
}

/// The message inside a dead letter, for another try.
pub(super) fn revive(record: &[u8]) -> Result<(Message, &[u8]), RecordError> {
    let (_, inner) = split::<DeadHeader>(record)?;
    Ok((decode(inner)?, inner))
}

/// Stands for a record that cannot be read, so that an operator can list and
/// drop it. Its id is derived from the content: the same in every listing.
fn unreadable(record: &[u8]) -> Message {
    Message {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, record),
        kind: "unreadable".to_owned(),
        correlation_id: String::new(),
        accepted_at: DateTime::UNIX_EPOCH,
        trace: None,
        body: record.to_vec(),
        lease: Lease::default(),
    }
}

fn join(header: &impl Serialize, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![VERSION];
    serde_json::to_writer(&mut record, header).expect("a header has only texts and times");
    record.push(b'\n');
    record.extend_from_slice(payload);
    record
}

fn split<H: DeserializeOwned>(record: &[u8]) -> Result<(H, &[u8]), RecordError> {
    let Some((&VERSION, rest)) = record.split_first() else {
        return Err(RecordError::Version);
    };
    let end = rest.iter().position(|&byte| byte == b'\n').ok_or(RecordError::Header)?;
    let header = serde_json::from_slice(&rest[..end]).map_err(|_| RecordError::Header)?;
    Ok((header, &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8]) -> Message {
        Message {
            id: Uuid::from_u128(7),
            kind: "release.artifactId".into(),
            correlation_id: "line\nbreak \"quote\" æ".into(),
            accepted_at: DateTime::from_timestamp_nanos(1_700_000_000_123_456_789),
            body: body.to_vec(),
            trace: None,
            lease: Lease::default(),
        }
    }

    #[test]
    fn a_record_reads_back_as_written() {
        for body in [&b"{}"[..], b"", b"\n\n", &[0, 159, 146, 150]] {
            let message = message(body);
            assert_eq!(decode(&encode(&message)).unwrap(), message);
        }
    }

    #[test]
    fn records_of_version_1_stay_readable() {
        let record = concat!(
            "\u{1}",
            r#"{"id":"00000000-0000-0000-0000-000000000007","kind":"k","correlation_id":"c","#,
            r#""accepted_at":"2026-01-02T03:04:05Z"}"#,
            "\n{\"a\":1}"
        );
        let message = decode(record.as_bytes()).unwrap();
        assert_eq!((message.id, message.body.as_slice()), (Uuid::from_u128(7), &b"{\"a\":1}"[..]));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let whole = encode(&message(b"{}"));
        for record in [&b""[..], b"\x02{}\n", b"garbage", &whole[..20], b"\x01{}\n{}", b"\x01\n"] {
            assert!(decode(record).is_err(), "{record:?}");
        }
    }

    #[test]
    fn a_dead_letter_keeps_what_cannot_be_read() {
        let letter = encode_dead(b"\x02new format", "because", DateTime::UNIX_EPOCH);
        let dead = decode_dead(&letter);
        assert_eq!((dead.reason.as_str(), dead.message.kind.as_str()), ("because", "unreadable"));
        assert_eq!(dead.message.body, b"\x02new format");
        assert_eq!(dead, decode_dead(&letter));
        assert!(revive(&letter).is_err());
    }
}
