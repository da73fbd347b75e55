//! Logs on standard error: one JSON object a line, or text for people.

mod json;

use std::{
    io::{self, IsTerminal},
    panic,
};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::Traces;

/// They log each attempt to reach what is away. We log when that changes.
const QUIET: &str = "lapin=off,amq_protocol=off,kube_client=off,kube_runtime=off";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log level '{level}' is not valid; use error, warn, info, debug or trace")]
    Level { level: String },
    #[error("logging is set up already")]
    AlreadySet(#[from] TryInitError),
}

/// Sends all log lines of this process to standard error, and panics among them.
///
/// `level` is a level or a list of `target=level` as `tracing-subscriber`'s
/// [`EnvFilter`] reads it. `development` is for people who read along; otherwise
/// each line is a JSON object with `@timestamp`, `level`, `message`, the fields of
/// the surrounding spans (such as `requestId`) and the line's own. Spans go to `traces`.
pub fn init(level: &str, development: bool, traces: &Traces) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{level}"))
        .map_err(|_| LogError::Level { level: level.to_owned() })?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if development {
        let colours = io::stderr().is_terminal();
        fmt::layer().with_writer(io::stderr).with_ansi(colours).with_target(false).boxed()
    } else {
        json::JsonLines::new(io::stderr).boxed()
    };
    let lines = lines.with_filter(filter).boxed();
    let layers: Vec<_> = traces.layer().into_iter().chain([lines]).collect();
    tracing_subscriber::registry().with(layers).try_init()?;
    log_panics();
    Ok(())
}

/// A panic is a bug; it belongs into the same stream, with the request id, and on one line.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let reason = panic.payload_as_str().unwrap_or("a panic without a text");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(reason, location, "Panicked");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_does_not_exist_is_named() {
        let error = init("chatty=loud", false, &Traces::none()).unwrap_err();
        assert!(error.to_string().contains("'chatty=loud'"), "{error}");
    }
}
