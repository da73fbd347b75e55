//! One token: who it is of, or why it is refused.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, Header, Validation, decode, decode_header, errors::ErrorKind,
};
use serde::Deserialize;

use crate::{
    Settings,
    key::Key,
    keys::{Keys, KeysUpdate, SetupError},
};

/// The longest token that is looked at, in bytes. Those with many groups have a few thousand.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The longest subject, in bytes (`OpenID` Connect Core, 2).
const MAX_SUBJECT_BYTES: usize = 255;
/// How far the provider's clock and ours may be apart, in seconds.
const LEEWAY: u64 = 1;
/// What a token may say that it is (RFC 7519, 5.1 and RFC 9068, 2.1). It may also say nothing.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// Who a token is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`: 1 to 255 bytes without control characters.
    pub subject: String,
    /// The token's `scope` (RFC 9068) or `scp`, as some providers call it.
    pub scopes: Vec<String>,
    /// The token is of a client itself (client credentials), as far as it shows: RFC 9068, 2.2.
    pub is_machine: bool,
}

/// Why a token is refused: for the log, never for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is no JWT")]
    Malformed,
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("it is signed with an algorithm that its key is not for")]
    Algorithm,
    #[error("it is signed with a key that no identity provider has")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it has no usable subject")]
    Subject,
    #[error("its claims are missing or cannot be read")]
    Claims,
}

impl Refusal {
    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Claims => "claims",
        }
    }
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    keys: Arc<Keys>,
    validation: Arc<Validation>,
}

impl Verifier {
    /// Knows the keys that were kept. Others are fetched while the update runs.
    pub fn new(settings: Settings) -> Result<(Self, KeysUpdate), SetupError> {
        let validation = Arc::new(validation(&settings));
        let keys = Arc::new(Keys::open(settings)?);
        Ok((Self { keys: keys.clone(), validation }, KeysUpdate(keys)))
    }

    /// Costs one signature for each provider that has the token's key, and waits for providers only
    /// when none has.
    pub async fn verify(&self, token: &str) -> Result<Identity, Refusal> {
        let header = read_header(token)?;
        let id = header.kid.as_deref().ok_or(Refusal::UnknownKey)?;
        let keys = self.keys.find(id).await;
        let mut refusal = if keys.is_empty() { Refusal::UnknownKey } else { Refusal::Algorithm };
        for key in keys.iter().filter(|key| key.algorithms.contains(&header.alg)) {
            match self.verify_with(key, header.alg, token) {
                Ok(identity) => return Ok(identity),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    fn verify_with(&self, key: &Key, algorithm: Algorithm, token: &str) -> Result<Identity, Refusal> {
        let validation = Validation { algorithms: vec![algorithm], ..(*self.validation).clone() };
        let claims =
            decode::<Claims>(token, &key.key, &validation).map_err(|error| refusal(error.kind()))?.claims;
        claims.identity()
    }
}

/// All but the algorithm, which follows from the key.
fn validation(settings: &Settings) -> Validation {
    let mut validation = Validation { leeway: LEEWAY, validate_nbf: true, ..Validation::default() };
    validation.set_audience(&[&settings.audience]);
    validation.set_issuer(&settings.issuers);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// What can be refused before any key is looked for. Keys that the token brings along, or says where to
/// fetch (`jwk`, `jku`, `x5c`, `x5u`), are never looked at.
fn read_header(token: &str) -> Result<Header, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TooLong);
    }
    let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    let is_access_token =
        header.typ.as_ref().is_none_or(|found| TYPES.iter().any(|known| known.eq_ignore_ascii_case(found)));
    // We understand none of the extensions that a token may call critical.
    if header.crit.is_some() || !is_access_token {
        return Err(Refusal::Malformed);
    }
    if header.alg.family() == AlgorithmFamily::Hmac {
        return Err(Refusal::Algorithm);
    }
    Ok(header)
}

/// It is written to logs.
fn is_usable(subject: &str) -> bool {
    (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.contains(char::is_control)
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    scope: Option<Scopes>,
    scp: Option<Scopes>,
    /// The names that providers have for the client that a token was given to.
    client_id: Option<String>,
    cid: Option<String>,
    azp: Option<String>,
}

impl Claims {
    fn identity(self) -> Result<Identity, Refusal> {
        let Self { sub, scope, scp, client_id, cid, azp } = self;
        let subject = sub.filter(|subject| is_usable(subject)).ok_or(Refusal::Subject)?;
        let scopes = scope.into_iter().chain(scp).flat_map(Scopes::names).collect();
        let is_machine =
            [client_id, cid, azp].into_iter().flatten().any(|client| is_client(&subject, &client));
        Ok(Identity { subject, scopes, is_machine })
    }
}

/// Auth0 appends `@clients`.
fn is_client(subject: &str, client: &str) -> bool {
    subject.strip_suffix("@clients").unwrap_or(subject) == client
}

/// Separated by spaces, or in a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Scopes {
    fn names(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            Self::List(names) => names,
        }
    }
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        ErrorKind::InvalidToken => Refusal::Malformed,
        ErrorKind::MissingRequiredClaim(claim) if claim == "sub" => Refusal::Subject,
        _ => Refusal::Claims,
    }
}
