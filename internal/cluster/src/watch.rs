//! One kind of object, watched for as long as the daemon runs.

use std::{pin::pin, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use chrono::Utc;
use futures::StreamExt as _;
use kube::{
    Api,
    api::ApiResource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    cluster::Cluster,
    failure,
    index::{Change, Effect},
    slim::{Fields, Slim},
};

/// How long one page of a list may take.
const PAGE_TIMEOUT: Duration = Duration::from_mins(2);
/// A watch that began again and says nothing, not even an error, for so long is well.
const QUIET: Duration = Duration::from_secs(15);
/// How often it is looked whether a kind that need not be there is there.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(30);
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
/// The version that the watch stood at is forgotten.
const GONE: u16 = 410;

pub(crate) struct Watch<S: Fields, T: Fields> {
    pub(crate) cluster: Cluster,
    pub(crate) resource: ApiResource,
    /// Only objects with such fields.
    pub(crate) fields: Option<&'static str>,
    /// The cluster need not have this kind, or let us see it.
    pub(crate) is_optional: bool,
    pub(crate) change: fn(Event<Slim<S, T>>) -> Change,
    /// What follows from the changes, in their order.
    pub(crate) effects: mpsc::Sender<Effect>,
}

/// Why a watch ends. The next one begins with a new list.
enum End {
    Broken,
    /// The kind is not there, or not for us.
    Absent(String),
}

impl<S, T> Watch<S, T>
where
    S: Fields + DeserializeOwned + Send + Sync + 'static,
    T: Fields + DeserializeOwned + Send + Sync + 'static,
{
    /// Never returns.
    pub(crate) async fn run(self) {
        let mut absent_because = String::new();
        let mut delays = Delays::new();
        loop {
            match self.follow(&mut delays).await {
                End::Broken => sleep(delays.next()).await,
                End::Absent(reason) => {
                    self.forget_all().await;
                    if reason != absent_because {
                        let kind = &self.resource.kind;
                        tracing::info!(kind, reason, "not watched; looking again every five minutes");
                        absent_because = reason;
                    }
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Lists, and then watches. What breaks off goes on where it was, as long as the API server still knows.
    async fn follow(&self, delays: &mut Delays) -> End {
        let api: Api<Slim<S, T>> = Api::all_with(self.cluster.client(), &self.resource);
        let config = watcher::Config { field_selector: self.fields.map(str::to_owned), ..Default::default() };
        let mut events = pin!(watcher(api, config));
        let mut is_listing = true;
        loop {
            let next = match self.patience(is_listing) {
                Some(limit) => timeout(limit, events.next()).await,
                None => Ok(events.next().await),
            };
            match next {
                Ok(Some(Ok(event))) => {
                    is_listing = matches!(event, Event::Init | Event::InitApply(_));
                    if !is_listing {
                        delays.reset();
                        self.well();
                    }
                    self.apply(event).await;
                }
                Ok(Some(Err(error))) => match self.end(&error) {
                    Some(end) => return end,
                    None => sleep(delays.next()).await,
                },
                Err(_) if is_listing => {
                    self.trouble("it did not answer in time".to_owned());
                    return End::Broken;
                }
                Err(_) => self.well(),
                Ok(None) => return End::Broken,
            }
        }
    }

    /// How long to wait for the next event. A watch that is well may be silent.
    fn patience(&self, is_listing: bool) -> Option<Duration> {
        if is_listing {
            return Some(PAGE_TIMEOUT);
        }
        self.cluster.has_problem(&self.resource.plural).then_some(QUIET)
    }

    /// `None`: the same watch goes on.
    fn end(&self, error: &watcher::Error) -> Option<End> {
        let (status, reason) = (failure::watch_status(error), failure::watch_sentence(error));
        match status {
            Some(NOT_FOUND) if self.is_optional => {
                return Some(End::Absent("this kind is not installed in the cluster".to_owned()));
            }
            Some(FORBIDDEN) if self.is_optional => return Some(End::Absent(reason)),
            _ => {}
        }
        self.cluster.count_restart(&self.resource.kind);
        if status == Some(GONE) {
            // Nothing is wrong: it was away for too long.
            tracing::debug!(kind = self.resource.kind, reason, "listing anew");
            return Some(End::Broken);
        }
        self.trouble(reason);
        None
    }

    fn trouble(&self, reason: String) {
        if !self.cluster.has_problem(&self.resource.plural) {
            let kind = &self.resource.kind;
            tracing::warn!(kind, reason, "the cluster cannot be watched; trying again");
        }
        self.cluster.set_problem(&self.resource.plural, Some(reason));
    }

    fn well(&self) {
        if self.cluster.has_problem(&self.resource.plural) {
            tracing::info!(kind = self.resource.kind, "the cluster is watched again");
            self.cluster.set_problem(&self.resource.plural, None);
        }
    }

    async fn apply(&self, event: Event<Slim<S, T>>) {
        for effect in self.cluster.apply((self.change)(event), Utc::now()) {
            // Without a reader the daemon stops.
            let _ = self.effects.send(effect).await;
        }
    }

    async fn forget_all(&self) {
        self.apply(Event::Init).await;
        self.apply(Event::InitDone).await;
    }
}

/// Growing, jittered pauses.
struct Delays(ExponentialBackoff);

impl Delays {
    fn new() -> Self {
        let delays = ExponentialBuilder::new().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
        Self(delays.with_jitter().without_max_times().build())
    }

    fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX_DELAY)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}
