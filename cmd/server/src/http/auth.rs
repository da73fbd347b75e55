//! Static tokens: one list for each audience.

use std::{convert::Infallible, fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The programs that call the server. Each has tokens of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Hamctl,
    Artifact,
    Daemon,
}

impl Audience {
    pub(crate) const ALL: [Self; 3] = [Self::Hamctl, Self::Artifact, Self::Daemon];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hamctl => "hamctl",
            Self::Artifact => "artifact",
            Self::Daemon => "daemon",
        }
    }
}

/// The tokens that one audience may log in with; none are accepted when it is empty.
///
/// Only their SHA-256 digests are kept. A presented token is hashed too, and
/// compared with all of them in the same time whatever it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenList(Arc<[[u8; 32]]>);

/// Reads a comma-separated list; white space around tokens and empty ones are dropped.
impl FromStr for TokenList {
    type Err = Infallible;

    fn from_str(list: &str) -> Result<Self, Infallible> {
        Ok(Self(list.split(',').map(str::trim).filter(|token| !token.is_empty()).map(digest).collect()))
    }
}

impl TokenList {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn accepts(&self, token: &str) -> bool {
        self.has(&digest(token))
    }

    fn has(&self, presented: &[u8; 32]) -> bool {
        let found = self.0.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(presented));
        found.into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The tokens of every audience.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) hamctl: TokenList,
    pub(crate) artifact: TokenList,
    pub(crate) daemon: TokenList,
}

impl Tokens {
    pub(crate) fn of(&self, audience: Audience) -> TokenList {
        match audience {
            Audience::Hamctl => &self.hamctl,
            Audience::Artifact => &self.artifact,
            Audience::Daemon => &self.daemon,
        }
        .clone()
    }

    /// Those that this token is for; all tokens are looked at in any case.
    pub(super) fn audiences(&self, token: &str) -> Vec<Audience> {
        let presented = digest(token);
        let found = Audience::ALL.map(|audience| (audience, self.of(audience).has(&presented)));
        found.into_iter().filter_map(|(audience, found)| found.then_some(audience)).collect()
    }

    pub(crate) fn are_all_empty(&self) -> bool {
        Audience::ALL.into_iter().all(|audience| self.of(audience).is_empty())
    }
}

/// How many tokens each audience has, nothing about them.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(Audience::ALL.map(|audience| (audience.name(), self.of(audience).0.len())))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> TokenList {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_whole_token_is_accepted() {
        let tokens = list("first, second ,,");
        for token in ["first", "second"] {
            assert!(tokens.accepts(token), "{token}");
        }
        for token in ["", "firs", "first ", "FIRST", "first, second", "first,", "third"] {
            assert!(!tokens.accepts(token), "{token:?}");
        }
    }

    #[test]
    fn an_empty_list_accepts_nothing() {
        for text in ["", ",", " , "] {
            assert!(list(text).is_empty());
            assert!(!list(text).accepts(""));
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let tokens = Tokens { hamctl: list("hunter2,b"), ..Tokens::default() };
        assert_eq!(format!("{tokens:?}"), r#"{"hamctl": 2, "artifact": 0, "daemon": 0}"#);
        assert!(!format!("{:?}", tokens.hamctl).contains("hunter2"));
    }
}
