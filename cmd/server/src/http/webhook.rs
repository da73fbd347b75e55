//! `POST /webhook/github`: somebody has pushed to the config repository.
//!
//! All that a delivery does is to make the server look at the remote, so one that is repeated,
//! late or made up is harmless.

use axum::{body::Body, extract::State, http::HeaderMap};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::{AppState, error::ApiError, fields};

const EVENT: &str = "x-github-event";
const SIGNATURE: &str = "x-hub-signature-256";

/// The secret that GitHub signs deliveries with. No `Debug`.
#[derive(Clone)]
pub(crate) struct WebhookSecret(String);

impl WebhookSecret {
    /// `None` for an empty text: a variable that is set to nothing.
    pub(crate) fn new(secret: &str) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(secret.to_owned()))
    }

    /// Whether the header is `sha256=<hex>` of this body. Takes the same time whatever the digest.
    fn has_signed(&self, header: Option<&str>, body: &[u8]) -> bool {
        let Some(digest) = header.and_then(|header| header.strip_prefix("sha256=")).and_then(from_hex) else {
            return false;
        };
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("a key of any length");
        mac.chain_update(body).verify_slice(&digest).is_ok()
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// The parts of a `push` event that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    repository: Repository,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    name: String,
}

pub(super) async fn github(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<&'static str, ApiError> {
    let body = fields::read(body).await?;
    let backend = state.backend()?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(secret) = &backend.webhook.secret
        && !secret.has_signed(header(SIGNATURE), &body)
    {
        return Err(ApiError::BadSignature);
    }
    if header(EVENT) == Some("push") {
        let push: Push = serde_json::from_slice(&body).map_err(ApiError::NotJson)?;
        if is_ours(&push, &backend.webhook.repository, backend.flow.branch()) {
            tracing::debug!("The config repository was pushed to");
            backend.flow.fetch_soon();
        }
    }
    Ok("")
}

/// What deliveries are checked against.
pub(crate) struct Webhook {
    /// Without one every delivery is believed.
    pub(crate) secret: Option<WebhookSecret>,
    /// The name of the config repository, without its owner: the last part of its URL.
    pub(crate) repository: String,
}

impl Webhook {
    pub(crate) fn new(secret: Option<WebhookSecret>, repository_url: &str) -> Self {
        let url = repository_url.trim_end_matches('/');
        let name = url.rsplit(['/', ':']).next().unwrap_or(url);
        Self { secret, repository: name.strip_suffix(".git").unwrap_or(name).to_owned() }
    }
}

/// A webhook of a whole organisation tells of all of its repositories.
fn is_ours(push: &Push, repository: &str, branch: &str) -> bool {
    push.reference.strip_prefix("refs/heads/") == Some(branch)
        && push.repository.name.eq_ignore_ascii_case(repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn only_the_right_signature_of_the_whole_body_is_accepted() {
        let secret = WebhookSecret::new(SECRET).unwrap();
        let good = format!("sha256={DIGEST}");
        assert!(secret.has_signed(Some(&good), BODY));
        assert!(secret.has_signed(Some(&format!("sha256={}", DIGEST.to_uppercase())), BODY));
        let zeros = format!("sha256={}", "0".repeat(64));
        for header in [
            None,
            Some(""),
            Some("sha256="),
            Some(DIGEST),
            Some(&good[..good.len() - 1]),
            Some(&good[..good.len() - 2]),
            Some(&zeros),
            Some(&format!("{good}00")),
            Some(&good.replace("75", "+5")),
            Some(&good.replace("sha256", "sha1")),
            Some("sha256=ééé"),
        ] {
            assert!(!secret.has_signed(header, BODY), "{header:?}");
        }
        assert!(!secret.has_signed(Some(&good), b"Hello, World"));
        assert!(!WebhookSecret::new("other").unwrap().has_signed(Some(&good), BODY));
        assert!(WebhookSecret::new("").is_none());
    }

    #[test]
    fn the_repositorys_name_is_the_last_part_of_its_url() {
        for url in [
            "git@github.com:org/config.git",
            "ssh://git@github.com/org/config.git",
            "https://github.com/org/config",
            "https://github.com/org/config.git/",
            "file:///srv/config.git",
            "alias:config.git",
        ] {
            assert_eq!(Webhook::new(None, url).repository, "config", "{url}");
        }
    }

    #[test]
    fn only_pushes_to_the_branch_of_the_config_repository_matter() {
        for (body, expected) in [
            (r#"{"ref":"refs/heads/main","repository":{"name":"config","full_name":"org/config"}}"#, true),
            (r#"{"ref":"refs/heads/main","repository":{"name":"Config"}}"#, true),
            (r#"{"ref":"refs/heads/feature","repository":{"name":"config"}}"#, false),
            (r#"{"ref":"refs/tags/main","repository":{"name":"config"}}"#, false),
            (r#"{"ref":"main","repository":{"name":"config"}}"#, false),
            (r#"{"ref":"refs/heads/main","repository":{"name":"payments"}}"#, false),
            ("{}", false),
        ] {
            let push: Push = serde_json::from_str(body).unwrap();
            assert_eq!(is_ours(&push, "config", "main"), expected, "{body}");
        }
    }
}
