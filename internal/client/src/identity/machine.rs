use chrono::Utc;
use release_core::Secret;
use tokio::sync::Mutex;

use super::{ProviderConfig, ProviderError, provider::Provider, token::Token};

/// A program that logs in by itself. Its token is kept until shortly before the end of it.
#[derive(Debug)]
pub struct MachineLogin {
    config: ProviderConfig,
    token: Mutex<Option<Token>>,
}

impl MachineLogin {
    /// Asks for nothing yet.
    pub fn new(config: ProviderConfig) -> Self {
        Self { config, token: Mutex::new(None) }
    }

    /// All who need one at the same time share one request.
    pub(super) async fn token(&self) -> Result<Secret, ProviderError> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| token.is_fresh(Utc::now())) {
            return Ok(token.access.clone());
        }
        let fresh = Provider::discover(&self.config).await?.machine_token().await?;
        Ok(token.insert(fresh).access.clone())
    }

    pub(super) async fn forget(&self) {
        *self.token.lock().await = None;
    }
}
