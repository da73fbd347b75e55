use std::time::{Duration, Instant};

/// For what takes milliseconds on an idle machine.
pub(crate) const SHORT: Duration = Duration::from_secs(30);
/// For what takes seconds on an idle machine.
pub(crate) const LONG: Duration = Duration::from_mins(2);

const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until there is an answer; panics with `what` when there is none in time.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}
