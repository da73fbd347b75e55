//! Watches: one JSON object a line, for as long as the client stays.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::stream;
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use super::{
    Shared, answer,
    http::Parameters,
    kind::Kind,
    selector::{Seen, Selector},
    store::with_type,
};

/// Events in one piece of an answer.
const PIECE: usize = 100;
/// When the client does not say how long it wants to stay.
const LONGEST: u64 = 3600;

struct Watch {
    shared: Arc<Shared>,
    kind: Kind,
    selector: Selector,
    /// What the client knows.
    version: u64,
    wants_bookmarks: bool,
    ends: Instant,
    versions: watch::Receiver<u64>,
    cuts: watch::Receiver<u64>,
    has_ended: bool,
}

pub(super) fn answer(
    shared: &Arc<Shared>,
    kind: Kind,
    selector: Selector,
    parameters: &Parameters,
) -> Response {
    let text = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    if text("sendInitialEvents") == "true" {
        return answer::failure(
            422,
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    let Ok(version) = text("resourceVersion").parse::<u64>() else {
        return answer::failure(400, "the fake watches from a resource version, which is a number");
    };
    let seconds = text("timeoutSeconds").parse().unwrap_or(LONGEST);
    let watch = Watch {
        shared: shared.clone(),
        kind,
        selector,
        version,
        wants_bookmarks: text("allowWatchBookmarks") == "true",
        ends: Instant::now() + Duration::from_secs(seconds),
        versions: shared.version.subscribe(),
        cuts: shared.cuts.subscribe(),
        has_ended: false,
    };
    let pieces = stream::unfold(watch, async |mut watch| {
        let piece = watch.piece().await?;
        Some((piece, watch))
    });
    answer::json_text(200, Body::from_stream(pieces))
}

/// All that a client with an old version gets.
pub(super) fn gone_event() -> Vec<u8> {
    let mut line =
        json!({"type": "ERROR", "object": answer::status_object(410, answer::TOO_OLD)}).to_string();
    line.push('\n');
    line.into_bytes()
}

impl Watch {
    /// What comes next; `None` is the end, an error breaks the connection.
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.has_ended {
                return None;
            }
            self.versions.borrow_and_update();
            let lines = self.lines();
            if !lines.is_empty() {
                return Some(Ok(lines.into()));
            }
            tokio::select! {
                _ = self.versions.changed() => {}
                _ = self.cuts.changed() => return Some(Err(io::Error::other("cut"))),
                () = tokio::time::sleep_until(self.ends) => return None,
            }
        }
    }

    fn lines(&mut self) -> Vec<u8> {
        let changes = self.shared.state().store.changes(&self.kind, self.version, PIECE);
        let Ok(changes) = changes else {
            self.has_ended = true;
            return gone_event();
        };
        let mut lines = Vec::new();
        for change in &changes {
            self.version = change.version;
            match self.selector.see(change) {
                Some(Seen::Added(body)) => self.write(&mut lines, "ADDED", body),
                Some(Seen::Modified(body)) => self.write(&mut lines, "MODIFIED", body),
                Some(Seen::Deleted(body)) => self.write(&mut lines, "DELETED", body),
                Some(Seen::Bookmark) if self.wants_bookmarks => {
                    let body =
                        json!({"metadata": {"resourceVersion": change.version.to_string()}}).to_string();
                    self.write(&mut lines, "BOOKMARK", body.as_bytes());
                }
                None | Some(Seen::Bookmark) => {}
            }
        }
        // All of them may have been for others.
        if lines.is_empty() && changes.len() == PIECE { self.lines() } else { lines }
    }

    fn write(&self, lines: &mut Vec<u8>, event: &str, body: &[u8]) {
        lines.extend_from_slice(format!(r#"{{"type":"{event}","object":"#).as_bytes());
        lines.extend(with_type(&self.kind, body));
        lines.extend_from_slice(b"}\n");
    }
}
