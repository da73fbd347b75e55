//! The keys of all providers, kept up to date.

use std::{
    fs::DirBuilder, io, num::NonZeroU32, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::redirect;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{Settings, key::Key, provider::Provider};

/// For one provider, from connecting to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a key that its provider took back is accepted at most, while it can be reached.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
/// While one of the providers is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// How often strangers can make us ask the providers, by naming keys that nobody has.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(10);
/// So that a rotation just after another one is noticed at once, too.
const UNKNOWN_KEY_BURST: NonZeroU32 = NonZeroU32::new(3).expect("it is not zero");

/// Why tokens cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the directory {} for the identity providers' keys cannot be made; check its permissions", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("no HTTP client can be made to fetch the identity providers' keys")]
    HttpClient(#[from] reqwest::Error),
}

/// All providers.
pub(crate) struct Keys {
    providers: Vec<Provider>,
    http: reqwest::Client,
    rounds: watch::Sender<Round>,
    wanted: Notify,
    limit: DefaultDirectRateLimiter,
}

/// Asking all providers once. Whoever wants a key while that goes on waits for this round's end
/// instead of making another one.
#[derive(Debug, Clone, Copy)]
struct Round {
    finished: u64,
    is_running: bool,
}

impl Keys {
    pub(crate) fn open(settings: Settings) -> Result<Self, SetupError> {
        let directory = settings.directory;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| SetupError::Directory { path: directory.clone(), source })?;
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("release-manager/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let quota = Quota::with_period(UNKNOWN_KEY_INTERVAL).expect("it is not zero");
        Ok(Self {
            providers: settings.jwks_urls.into_iter().map(|url| Provider::open(url, &directory)).collect(),
            http,
            // The first round begins as soon as somebody runs it.
            rounds: watch::Sender::new(Round { finished: 0, is_running: true }),
            wanted: Notify::new(),
            limit: RateLimiter::direct(quota.allow_burst(UNKNOWN_KEY_BURST)),
        })
    }

    /// At most one of each provider. Asks the providers when none is known, but not too often.
    pub(crate) async fn find(&self, id: &str) -> Vec<Arc<Key>> {
        let known = self.known(id);
        if !known.is_empty() {
            return known;
        }
        self.another_round().await;
        self.known(id)
    }

    fn known(&self, id: &str) -> Vec<Arc<Key>> {
        self.providers.iter().filter_map(|provider| provider.key(id)).collect()
    }

    async fn another_round(&self) {
        let mut rounds = self.rounds.subscribe();
        let finished = rounds.borrow_and_update().finished;
        let begins = self.rounds.send_if_modified(|round| {
            let begins = !round.is_running && self.limit.check().is_ok();
            round.is_running |= begins;
            begins
        });
        if begins {
            self.wanted.notify_one();
        }
        if self.rounds.borrow().is_running {
            // The round bounds its own time; this is for a server that is about to stop.
            let ends = rounds.wait_for(|round| round.finished > finished);
            let _ = timeout(2 * FETCH_TIMEOUT, ends).await;
        }
    }

    async fn refresh(&self) -> Vec<Option<String>> {
        self.rounds.send_modify(|round| round.is_running = true);
        let attempts = self.providers.iter().map(|provider| provider.refresh(&self.http));
        let problems =
            join_all(attempts).await.into_iter().map(|result| result.err().map(|error| error.to_string()));
        let problems = problems.collect();
        self.rounds.send_modify(|round| *round = Round { finished: round.finished + 1, is_running: false });
        problems
    }
}

/// Fetches keys for as long as it runs.
pub struct KeysUpdate(pub(crate) Arc<Keys>);

impl KeysUpdate {
    /// Never ends. Tells `on_round` after each attempt whether all providers were well.
    pub async fn run(self, on_round: impl Fn(bool)) {
        let Self(keys) = self;
        let mut known_problems = vec![None; keys.providers.len()];
        loop {
            let problems = keys.refresh().await;
            for (provider, (was, is)) in keys.providers.iter().zip(known_problems.iter().zip(&problems)) {
                log_change(provider, was.as_ref(), is.as_ref());
            }
            let is_well = problems.iter().all(Option::is_none);
            known_problems = problems;
            on_round(is_well);
            let pause = if is_well { REFRESH_INTERVAL } else { RETRY_INTERVAL };
            let _ = timeout(pause, keys.wanted.notified()).await;
        }
    }
}

fn log_change(provider: &Provider, was: Option<&String>, is: Option<&String>) {
    let url = provider.url();
    match (was, is) {
        (was, Some(reason)) if was != is => {
            tracing::warn!(%url, reason, "the identity provider's keys cannot be fetched; the last good ones stay");
        }
        (Some(_), None) => tracing::info!(%url, "the identity provider is well again"),
        _ => {}
    }
}
