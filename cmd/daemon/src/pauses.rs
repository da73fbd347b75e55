//! How long to wait before trying again.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const MIN: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(30);

/// Growing, jittered pauses, up to half a minute.
pub(crate) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(crate) fn new() -> Self {
        let pauses = ExponentialBuilder::new().with_min_delay(MIN).with_max_delay(MAX);
        Self(pauses.with_jitter().without_max_times().build())
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX)
    }
}
