use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use oauth2::{ExtraTokenFields, StandardTokenResponse, TokenResponse as _, basic::BasicTokenType};
use release_core::Secret;
use serde::{Deserialize, Serialize};

/// So long before its end a token is not used any more: a request takes its time, and clocks differ.
const EARLY: TimeDelta = TimeDelta::seconds(30);

/// What a provider gave.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    /// `None` when the provider did not say.
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) identity: Identity,
}

/// Who somebody is, as the provider says. All of it may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    #[serde(rename = "sub", skip_serializing_if = "String::is_empty")]
    pub subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
}

/// The field that OpenID Connect adds to an answer with a token.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdToken(…)")
    }
}

impl Token {
    pub(super) fn received(answer: &StandardTokenResponse<IdToken, BasicTokenType>) -> Self {
        let lifetime = answer.expires_in().and_then(|lifetime| TimeDelta::from_std(lifetime).ok());
        let access = answer.access_token().secret();
        let id_token = answer.extra_fields().id_token.as_deref();
        Self {
            refresh: answer.refresh_token().map(|token| Secret::new(token.secret().clone())),
            expires_at: lifetime.and_then(|lifetime| Utc::now().checked_add_signed(lifetime)),
            identity: id_token
                .and_then(Identity::of_jwt)
                .or_else(|| Identity::of_jwt(access))
                .unwrap_or_default(),
            access: Secret::new(access.clone()),
        }
    }

    pub(super) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end - EARLY > now)
    }
}

impl Identity {
    /// The claims of a token, without a look at its signature: it came from the provider itself, and
    /// nothing is decided by it.
    pub(super) fn of_jwt(token: &str) -> Option<Self> {
        let claims = token.split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        serde_json::from_slice(&claims).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let now = Utc::now();
        let cases =
            [(None, true), (Some(3600), true), (Some(31), true), (Some(30), false), (Some(-1), false)];
        for (seconds, expected) in cases {
            let token = Token {
                access: Secret::new("x"),
                refresh: None,
                expires_at: seconds.map(|seconds| now + TimeDelta::seconds(seconds)),
                identity: Identity::default(),
            };
            assert_eq!(token.is_fresh(now), expected, "{seconds:?}");
        }
    }

    #[test]
    fn a_token_that_is_no_jwt_names_nobody() {
        for token in ["opaque", "a.b.c", "a..c", ""] {
            assert_eq!(Identity::of_jwt(token), None, "{token}");
        }
    }
}
