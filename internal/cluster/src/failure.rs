//! The API server's errors, in a sentence.

use kube::{Error, runtime::watcher};

/// What the API server answered, or why it did not. Nothing in it is secret.
pub(crate) fn sentence(error: &Error) -> String {
    match error {
        Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        Error::Api(status) => format!("it answered {}", status.code),
        error => root_cause(error),
    }
}

/// The status of the answer, where there was one that says why.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

pub(crate) fn watch_sentence(error: &watcher::Error) -> String {
    match parts(error) {
        Parts::Kube(error) => sentence(error),
        Parts::Event(_, message) if !message.is_empty() => message.to_owned(),
        Parts::Event(code, _) => format!("it answered {code}"),
        Parts::Odd => "its list has no version, so it cannot be watched".to_owned(),
    }
}

pub(crate) fn watch_status(error: &watcher::Error) -> Option<u16> {
    match parts(error) {
        Parts::Kube(error) => status(error),
        Parts::Event(code, _) => Some(code),
        Parts::Odd => None,
    }
}

enum Parts<'e> {
    Kube(&'e Error),
    /// Code and message of an event within a watch.
    Event(u16, &'e str),
    Odd,
}

fn parts(error: &watcher::Error) -> Parts<'_> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Parts::Kube(error),
        watcher::Error::WatchError(status) => Parts::Event(status.code, &status.message),
        watcher::Error::NoResourceVersion => Parts::Odd,
    }
}

/// The innermost cause; the layers around it say little.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
