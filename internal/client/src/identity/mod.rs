//! Where tokens come from: a person's login, a machine's client credentials.

mod device;
mod machine;
mod provider;
mod session;
mod token;
mod token_file;

use std::sync::Arc;

use release_core::Secret;

pub use device::DeviceLogin;
pub use machine::MachineLogin;
pub use provider::{ProviderConfig, ProviderError, ProviderUrlError, parse_provider_url};
pub use session::Session;
pub use token::Identity;
pub use token_file::{TokenFile, TokenFileError};

/// With what a [`crate::Client`] shows who it is.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    #[default]
    None,
    /// One of the server's static tokens.
    Token(Secret),
    /// A program, by the OAuth2 client credentials grant.
    Machine(Arc<MachineLogin>),
    /// A person who has logged in.
    Person(Arc<Session>),
}

/// Why there is no token to call the server with.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Never, or the provider does not prolong the login any more.
    #[error("you are not logged in")]
    NotLoggedIn,
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    File(#[from] TokenFileError),
}

impl From<Option<Secret>> for Credentials {
    fn from(token: Option<Secret>) -> Self {
        token.map_or(Self::None, Self::Token)
    }
}

impl TokenError {
    /// The same may work in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Provider(error) if error.is_transient())
    }
}

impl Credentials {
    pub(crate) async fn token(&self) -> Result<Option<Secret>, TokenError> {
        Ok(match self {
            Self::None => None,
            Self::Token(token) => Some(token.clone()),
            Self::Machine(login) => Some(login.token().await?),
            Self::Person(session) => Some(session.token().await?),
        })
    }

    /// The server did not accept what the provider gave; the next call asks for another one.
    pub(crate) async fn forget(&self) {
        if let Self::Machine(login) = self {
            login.forget().await;
        }
    }
}
