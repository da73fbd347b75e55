use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use oauth2::StandardDeviceAuthorizationResponse;

use super::{ProviderError, provider::Provider, token::Token};

/// Longer than any provider lets a code live.
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// Also where a provider asks for less.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A login that a person has to confirm on a page of the provider (RFC 8628).
pub struct DeviceLogin {
    pub(super) provider: Provider,
    answer: StandardDeviceAuthorizationResponse,
}

impl DeviceLogin {
    pub(super) async fn start(provider: Provider) -> Result<Self, ProviderError> {
        let request = provider.oauth.exchange_device_code().add_scopes(provider.scopes());
        let answer = request.request_async(&provider).await;
        let answer = answer.map_err(|error| provider.refusal(error))?;
        Ok(Self { provider, answer })
    }

    /// What the person types into [the page](Self::page).
    pub fn code(&self) -> &str {
        self.answer.user_code().secret()
    }

    /// URL of the page.
    pub fn page(&self) -> &str {
        self.answer.verification_uri()
    }

    /// URL of the page with the code in it, if the provider has that.
    pub fn page_with_code(&self) -> Option<&str> {
        self.answer.verification_uri_complete().map(|url| url.secret().as_str())
    }

    /// Asks until the person has decided, as often as the provider wants. A provider that is away is
    /// waited for, as long as the code is valid; `on_trouble` is told.
    pub(super) async fn wait(&self, on_trouble: impl Fn(&ProviderError)) -> Result<Token, ProviderError> {
        let trouble = Mutex::new(None);
        let send = |request| async {
            let answer = self.provider.send(request).await;
            let failure = answer.as_ref().err().cloned();
            failure.iter().for_each(&on_trouble);
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = failure;
            answer
        };
        let pause = |pause: Duration| tokio::time::sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        let limit = self.answer.expires_in().min(LONGEST_WAIT);
        let request = self.provider.oauth.exchange_device_access_token(&self.answer);
        let answer = request.request_async(&send, pause, Some(limit)).await;
        let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
        answer
            .map(|answer| Token::received(&answer))
            .map_err(|error| decision(self.provider.refusal(error), trouble))
    }
}

fn decision(error: ProviderError, trouble: Option<ProviderError>) -> ProviderError {
    match error {
        ProviderError::Refused { code, .. } if code == "access_denied" => ProviderError::Denied,
        // It may have been confirmed; nobody could tell us.
        ProviderError::Refused { code, .. } if code == "expired_token" => {
            trouble.unwrap_or(ProviderError::CodeExpired)
        }
        error => error,
    }
}

/// Without the codes.
impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin").field("page", &self.page()).finish_non_exhaustive()
    }
}
