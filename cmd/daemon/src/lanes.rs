//! The order of deliveries: one after the other about the same object, and objects side by side.

use std::collections::{HashMap, VecDeque};

use release_broker::Message;

/// Those that wait behind an older one about the same object.
#[derive(Debug, Default)]
pub(crate) struct Lanes(HashMap<String, VecDeque<Message>>);

impl Lanes {
    /// The message itself when nothing is under way about its object; it is under way then.
    pub(crate) fn enter(&mut self, key: &str, message: Message) -> Option<Message> {
        match self.0.get_mut(key) {
            Some(lane) => {
                lane.push_back(message);
                None
            }
            None => {
                self.0.insert(key.to_owned(), VecDeque::new());
                Some(message)
            }
        }
    }

    /// What is under way about this object is settled: the next one, which is under way then.
    pub(crate) fn next(&mut self, key: &str) -> Option<Message> {
        let next = self.0.get_mut(key)?.pop_front();
        if next.is_none() {
            self.0.remove(key);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use release_broker::Lease;
    use uuid::Uuid;

    use super::*;

    fn message(number: u128) -> Message {
        Message {
            id: Uuid::from_u128(number),
            kind: String::new(),
            correlation_id: String::new(),
            accepted_at: DateTime::UNIX_EPOCH,
            body: Vec::new(),
            trace: None,
            lease: Lease::default(),
        }
    }

    #[test]
    fn one_object_is_told_of_in_order_and_holds_up_no_other() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter("a", message(1)), Some(message(1)));
        assert_eq!(lanes.enter("a", message(2)), None);
        assert_eq!(lanes.enter("b", message(3)), Some(message(3)));
        assert_eq!(lanes.enter("a", message(4)), None);
        assert_eq!(lanes.next("a"), Some(message(2)));
        assert_eq!(lanes.next("b"), None);
        assert_eq!(lanes.next("a"), Some(message(4)));
        assert_eq!(lanes.next("a"), None);
        assert_eq!(lanes.enter("a", message(5)), Some(message(5)), "the lane is empty again");
    }
}
