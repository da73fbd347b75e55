//! Which events RabbitMQ has entrusted to this process.

use std::collections::HashMap;

use lapin::message::Delivery;
use uuid::Uuid;

use crate::Message;

/// What was delivered on the connection of now and is not settled. When that
/// connection is lost, RabbitMQ takes all of it back and delivers it again, here
/// or elsewhere.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    held: HashMap<Uuid, Held>,
    accepted: u64,
}

#[derive(Debug)]
struct Held {
    number: u64,
    message: Message,
    /// More than one when the event was published more than once.
    deliveries: Vec<Delivery>,
}

impl Deliveries {
    /// `false` when the event is held already: a publisher that was not sure
    /// has sent it again.
    pub(super) fn add(&mut self, message: Message, delivery: Delivery) -> bool {
        if let Some(held) = self.held.get_mut(&message.id) {
            held.deliveries.push(delivery);
            return false;
        }
        self.accepted += 1;
        let held = Held { number: self.accepted, message, deliveries: vec![delivery] };
        self.held.insert(held.message.id, held);
        true
    }

    pub(super) fn holds(&self, id: Uuid) -> bool {
        self.held.contains_key(&id)
    }

    /// Looks at a delivery of the event.
    pub(super) fn with<T>(&self, id: Uuid, look: impl FnOnce(&Delivery) -> T) -> Option<T> {
        self.held.get(&id)?.deliveries.first().map(look)
    }

    /// All deliveries of an event that is settled.
    pub(super) fn remove(&mut self, id: Uuid) -> Vec<Delivery> {
        self.held.remove(&id).map(|held| held.deliveries).unwrap_or_default()
    }

    pub(super) fn take_back_all(&mut self) {
        self.held.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// In the order of delivery.
    pub(super) fn messages(&self) -> Vec<Message> {
        let mut held: Vec<_> = self.held.values().collect();
        held.sort_by_key(|held| held.number);
        held.into_iter().map(|held| held.message.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn message(number: u128) -> Message {
        Message {
            id: Uuid::from_u128(number),
            kind: "release.artifactId".into(),
            correlation_id: String::new(),
            accepted_at: DateTime::UNIX_EPOCH,
            body: Vec::new(),
            trace: None,
            lease: crate::Lease::default(),
        }
    }

    fn delivery(tag: u64) -> Delivery {
        Delivery::mock(tag, "".into(), "".into(), false, Vec::new())
    }

    #[test]
    fn an_event_that_was_published_twice_is_one_event_and_settles_both() {
        let mut deliveries = Deliveries::default();
        assert!(deliveries.add(message(7), delivery(1)));
        assert!(deliveries.add(message(3), delivery(2)));
        assert!(!deliveries.add(message(7), delivery(3)));
        assert_eq!(deliveries.messages(), [message(7), message(3)]);
        let tags: Vec<u64> =
            deliveries.remove(Uuid::from_u128(7)).iter().map(|delivery| delivery.delivery_tag).collect();
        assert_eq!(tags, [1, 3]);
        assert!(!deliveries.holds(Uuid::from_u128(7)) && deliveries.holds(Uuid::from_u128(3)));
    }

    #[test]
    fn what_comes_again_on_the_next_connection_is_settled_there() {
        let mut deliveries = Deliveries::default();
        deliveries.add(message(1), delivery(5));
        deliveries.take_back_all();
        assert!(!deliveries.holds(Uuid::from_u128(1)));
        assert!(deliveries.remove(Uuid::from_u128(1)).is_empty(), "the old tag means something else now");
        assert!(deliveries.add(message(1), delivery(1)));
        assert_eq!(deliveries.remove(Uuid::from_u128(1))[0].delivery_tag, 1);
    }
}
