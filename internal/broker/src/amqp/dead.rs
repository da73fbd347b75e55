//! Looking through the queue of the dead. AMQP cannot look without taking, so a
//! look takes all letters and puts back what it did not settle.

use std::collections::HashSet;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::session::SessionError;
use super::{Shared, failed, wire};
use crate::{BrokerError, DeadMessage};

/// The most that is looked at. What is behind it shows when that is gone.
const MAX_LETTERS: usize = 10_000;
const MAX_BYTES: usize = 64 << 20;

struct Look<'a> {
    letters: Vec<Delivery>,
    channel: Channel,
    /// Two looks would hide letters from each other.
    _only_one: MutexGuard<'a, ()>,
}

impl Shared {
    /// Oldest burial first. A letter that was buried twice, for want of a confirmation, is one.
    pub(super) async fn dead(&self) -> Result<Vec<DeadMessage>, BrokerError> {
        let look = self.look().await?;
        let mut dead: Vec<_> = look.letters.iter().map(dead_message).collect();
        look.end().await;
        dead.sort_by_key(|letter| letter.buried_at);
        let mut known = HashSet::new();
        dead.retain(|letter| known.insert(letter.message.id));
        Ok(dead)
    }

    /// First back into the queue, then out of this one: a crash in between leaves it in both.
    pub(super) async fn retry(&self, id: Uuid) -> Result<bool, BrokerError> {
        let look = self.look().await?;
        let published = match look.copies_of(id).next() {
            Some(letter) => {
                let revived = wire::revived(&self.config.exchange, &letter.properties, &letter.data);
                self.publish(&revived).await.map(|()| true)
            }
            None => Ok(false),
        };
        if published.is_ok() {
            look.settle(id).await;
        }
        look.end().await;
        published
    }

    pub(super) async fn drop_dead(&self, id: Uuid) -> Result<bool, BrokerError> {
        let look = self.look().await?;
        let is_there = look.copies_of(id).next().is_some();
        look.settle(id).await;
        look.end().await;
        Ok(is_there)
    }

    async fn look(&self) -> Result<Look<'_>, BrokerError> {
        let only_one = self.looking.lock().await;
        let session = self.session()?;
        let channel = session.channel().await.map_err(|error| failed(&session, &error))?;
        let letters = take_all(&channel, &self.config.dead_queue()).await;
        let letters = letters.map_err(|error| failed(&session, &SessionError::from(error)))?;
        Ok(Look { letters, channel, _only_one: only_one })
    }
}

async fn take_all(channel: &Channel, queue: &str) -> Result<Vec<Delivery>, lapin::Error> {
    let mut letters = Vec::new();
    let mut bytes = 0;
    while letters.len() < MAX_LETTERS && bytes < MAX_BYTES {
        let Some(letter) = channel.basic_get(wire::short(queue), BasicGetOptions::default()).await? else {
            break;
        };
        bytes += letter.data.len();
        letters.push(letter.delivery);
    }
    Ok(letters)
}

impl Look<'_> {
    fn copies_of(&self, id: Uuid) -> impl Iterator<Item = &Delivery> {
        self.letters.iter().filter(move |letter| dead_message(letter).message.id == id)
    }

    async fn settle(&self, id: Uuid) {
        for letter in self.copies_of(id) {
            // Only a lost connection fails it; then the letter is there again.
            let _ = letter.ack(BasicAckOptions::default()).await;
        }
    }

    /// Puts back what is left. When that fails the connection is lost, which does the same.
    async fn end(self) {
        let _ = self.channel.close(200, wire::short("looked")).await;
    }
}

fn dead_message(letter: &Delivery) -> DeadMessage {
    wire::dead_message(&letter.properties, &letter.data)
}
