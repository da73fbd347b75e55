//! Tokens of identity providers: JWTs, verified with the keys that the providers publish.
//!
//! A [`Verifier`] says who a token is of, or why it is refused. It needs no provider for that as long
//! as it knows the key: keys stay good while their provider is away, also over a restart.

mod key;
mod keys;
mod provider;
mod token;

use std::path::PathBuf;

pub use keys::{KeysUpdate, SetupError};
pub use reqwest::Url;
pub use token::{Identity, MAX_TOKEN_BYTES, Refusal, Verifier};

/// Whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the providers publish their keys (RFC 7517). Each is believed about every issuer.
    pub jwks_urls: Vec<Url>,
    /// A token's `iss` has to be one of them.
    pub issuers: Vec<String>,
    /// A token's `aud` has to hold it.
    pub audience: String,
    /// Where the last good keys are kept; made when it is not there. They are public.
    pub directory: PathBuf,
}
