//! The id that ties an answer to the log lines it caused.

use std::{fmt, sync::Arc};

use uuid::Uuid;

/// The longest id that is taken over from a client, in bytes.
const MAX_BYTES: usize = 128;

/// Identifies one request in logs, answers and accepted events. Cheap to clone.
///
/// Spans name it `requestId`; then every line logged within has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// Takes over a client's id when it is 1 to 128 visible ASCII characters;
    /// anything else would be a nuisance in logs and headers.
    pub fn from_client(id: &str) -> Option<Self> {
        let sane = (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        sane.then(|| Self(id.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_taken_over_only_when_it_is_harmless() {
        let longest = "x".repeat(128);
        for id in ["1", "a3bb189e-8bf9-3888-9912-ace4e6543002", "build#7/step=2", &longest] {
            assert_eq!(RequestId::from_client(id).map(|id| id.to_string()), Some(id.to_owned()));
        }
        for id in ["", "two words", "line\nbreak", "tab\t", "\u{7f}", "søren", &"x".repeat(129)] {
            assert_eq!(RequestId::from_client(id), None, "{id:?}");
        }
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
