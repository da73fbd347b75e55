//! The undelivered messages of one process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use crate::Message;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn push(&self, message: Message) {
        self.state().waiting.push_back(message);
        self.changed.notify_waiters();
    }

    /// Forgets what nobody has received yet.
    pub(crate) fn clear(&self) {
        self.state().waiting.clear();
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The next message, or `None` once closed. A message leaves the inbox in
    /// the same poll that returns it, so a dropped future loses none.
    pub(crate) async fn next(&self) -> Option<Message> {
        loop {
            // Made before looking, so that a push right after looking wakes it.
            let changed = self.changed.notified();
            if let Poll::Ready(answer) = self.state().poll() {
                return answer;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can panic halfway, so a poisoned state is a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll(&mut self) -> Poll<Option<Message>> {
        if self.closed {
            return Poll::Ready(None);
        }
        self.waiting.pop_front().map_or(Poll::Pending, |message| Poll::Ready(Some(message)))
    }
}
