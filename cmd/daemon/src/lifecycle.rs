//! How the daemon stops. The only place that knows about signals.

use std::{io, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells everybody when the daemon is to stop.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    stopping: CancellationToken,
    ending_at_once: CancellationToken,
}

impl Lifecycle {
    /// The first SIGTERM or SIGINT stops the daemon, the second ends the process at once. What was not
    /// delivered is on disk and goes on after the next start.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let lifecycle = Self { stopping: CancellationToken::new(), ending_at_once: CancellationToken::new() };
        tokio::spawn(lifecycle.clone().listen(terminate, interrupt));
        Ok(lifecycle)
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Waits until an orderly stop has taken too long, or somebody is impatient.
    pub(crate) async fn out_of_time(&self, limit: Duration) {
        self.stopping.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            () = self.ending_at_once.cancelled() => {}
        }
    }

    async fn listen(self, mut terminate: Signal, mut interrupt: Signal) {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!("Stopping; a second signal ends the daemon at once");
        self.stopping.cancel();
        next(&mut terminate, &mut interrupt).await;
        self.ending_at_once.cancel();
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
