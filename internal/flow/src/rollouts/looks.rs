//! Looking at the remote for releases that are not known here, not too often.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// The least time between the beginnings of two looks: releases and notes need the remote, too.
const PAUSE: Duration = Duration::from_secs(2);

/// When the last look began.
#[derive(Default)]
pub(super) struct Looks(Mutex<Option<Instant>>);

impl Looks {
    /// Returns after a look that began after the call. All who wait for the next one share it.
    pub(super) async fn look(&self, look: impl Future<Output = ()>) {
        let came = Instant::now();
        let mut last = self.0.lock().await;
        if last.is_some_and(|last| last > came) {
            return;
        }
        if let Some(last) = *last {
            sleep_until(last + PAUSE).await;
        }
        *last = Some(Instant::now());
        look.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use futures::{FutureExt as _, future::join_all};

    use super::*;

    #[tokio::test]
    async fn thousands_share_a_look_that_began_after_they_came() {
        let (looks, count) = (Looks::default(), AtomicU32::new(0));
        let look = async || {
            let counted = async {
                count.fetch_add(1, SeqCst);
            };
            looks.look(counted).await;
            count.load(SeqCst)
        };
        assert_eq!(look().now_or_never(), Some(1), "at once");
        // All of them come before the next look.
        assert_eq!(join_all((0..1_000).map(|_| look())).await, [2; 1_000]);
        looks
            .look(async {
                // It cannot share what has begun already.
                assert!(Box::pin(look()).now_or_never().is_none());
            })
            .await;
        assert_eq!(look().await, 3);
    }
}
