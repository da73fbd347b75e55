//! What is asked, and what goes wrong.

use std::time::Duration;

use super::target::Target;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// What kinds there are.
    Discover,
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    /// Of a container; the plural is `pods`.
    Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status and not executed: 401, 403, 410, 500 and others.
    Status(u16),
    /// Answered with 429, and after how many seconds to try again.
    TooManyRequests { retry_after: u32 },
    /// Executed, but the answer takes so long.
    Slow(Duration),
    /// Executed, but the connection breaks at the beginning of the answer.
    LosesAnswer,
    /// Nothing is executed and nothing answered until the client gives up.
    Hangs,
    /// A watch ends at once with an `ERROR` event of status 410.
    GoneEvent,
}

/// A request that arrived, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub verb: Verb,
    pub plural: String,
    /// Empty: in all namespaces.
    pub namespace: String,
    /// Empty: of all objects.
    pub name: String,
    pub query: String,
}

#[derive(Default)]
pub(super) struct Faults {
    seen: Vec<Request>,
    planned: Vec<Planned>,
    general: Option<Fault>,
}

struct Planned {
    verb: Verb,
    plural: String,
    times: usize,
    fault: Fault,
}

impl Faults {
    pub(super) fn add(&mut self, verb: Verb, plural: &str, times: usize, fault: Fault) {
        self.planned.push(Planned { verb, plural: plural.to_owned(), times, fault });
    }

    pub(super) fn set_general(&mut self, fault: Option<Fault>) {
        self.general = fault;
    }

    pub(super) fn seen(&self) -> &[Request] {
        &self.seen
    }

    /// Remembers the request; what it meets.
    pub(super) fn meet(&mut self, verb: Verb, target: &Target, query: &str) -> Option<Fault> {
        let plural = target.plural().to_owned();
        let is_meant =
            |planned: &&mut Planned| planned.verb == verb && planned.plural == plural && planned.times > 0;
        let planned = self.planned.iter_mut().find(is_meant).map(|planned| {
            planned.times -= 1;
            planned.fault
        });
        let (namespace, name) = target.key();
        self.seen.push(Request { verb, plural, namespace, name, query: query.to_owned() });
        planned.or(self.general)
    }
}
