use chrono::Utc;
use release_core::Secret;
use tokio::sync::Mutex;

use super::{
    DeviceLogin, Identity, ProviderConfig, ProviderError, TokenError, TokenFile, TokenFileError,
    provider::Provider, token::Token,
};

/// A person's login, shared by all processes of that person through a file.
#[derive(Debug)]
pub struct Session {
    config: ProviderConfig,
    file: TokenFile,
    token: Mutex<Option<Token>>,
}

impl Session {
    /// Reads nothing yet.
    pub fn new(config: ProviderConfig, file: TokenFile) -> Self {
        Self { config, file, token: Mutex::new(None) }
    }

    /// A token that is valid for a while. Refreshed when needed, by one process for all.
    pub async fn token(&self) -> Result<Secret, TokenError> {
        let mut known = self.token.lock().await;
        if let Some(token) = known.as_ref().filter(|token| token.is_fresh(Utc::now())) {
            return Ok(token.access.clone());
        }
        let token = match self.saved_fresh()? {
            Some(token) => token,
            None => self.refresh().await?,
        };
        Ok(known.insert(token).access.clone())
    }

    /// The saved token if it is still valid; never asks the provider.
    pub fn saved_token(&self) -> Option<Secret> {
        self.saved_fresh().ok().flatten().map(|token| token.access)
    }

    /// Who has logged in; `None` after a logout. Never asks the provider.
    pub fn identity(&self) -> Result<Option<Identity>, TokenFileError> {
        Ok(self.file.read(&self.config)?.map(|token| token.identity))
    }

    pub async fn start_login(&self) -> Result<DeviceLogin, ProviderError> {
        DeviceLogin::start(Provider::discover(&self.config).await?).await
    }

    /// Waits for the person's decision and saves the login. `on_trouble` is told when the provider
    /// is away for a moment.
    pub async fn finish_login(
        &self,
        login: &DeviceLogin,
        on_trouble: impl Fn(&ProviderError),
    ) -> Result<Identity, TokenError> {
        let token = login.wait(on_trouble).await?;
        let _lock = self.file.lock().await?;
        self.file.write(&self.config, &token)?;
        let identity = token.identity.clone();
        *self.token.lock().await = Some(token);
        Ok(identity)
    }

    /// Removes the login from this machine in any case, and then from the provider.
    pub async fn logout(&self) -> Result<(), TokenError> {
        let lock = self.file.lock().await?;
        let token = self.file.read(&self.config);
        self.file.remove()?;
        drop(lock);
        let Some(refresh) = token.ok().flatten().and_then(|token| token.refresh) else { return Ok(()) };
        Ok(Provider::discover(&self.config).await?.revoke(&refresh).await?)
    }

    fn saved_fresh(&self) -> Result<Option<Token>, TokenFileError> {
        Ok(self.file.read(&self.config)?.filter(|token| token.is_fresh(Utc::now())))
    }

    async fn refresh(&self) -> Result<Token, TokenError> {
        let _lock = self.file.lock().await?;
        let old = self.file.read(&self.config)?.ok_or(TokenError::NotLoggedIn)?;
        if old.is_fresh(Utc::now()) {
            // Another process was faster. A refresh token can be used only once.
            return Ok(old);
        }
        let refresh = old.refresh.ok_or(TokenError::NotLoggedIn)?;
        let mut token = Provider::discover(&self.config).await?.refresh(&refresh).await.map_err(ended)?;
        token.refresh = token.refresh.or(Some(refresh));
        if token.identity == Identity::default() {
            token.identity = old.identity;
        }
        self.file.write(&self.config, &token)?;
        Ok(token)
    }
}

fn ended(error: ProviderError) -> TokenError {
    match error {
        ProviderError::Refused { code, .. } if code == "invalid_grant" => TokenError::NotLoggedIn,
        error => error.into(),
    }
}
