//! New objects, as the bucket tells of them through a queue.

mod message;
mod policy;
mod setup;

use std::{error::Error, time::Duration};

use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    types::{DeleteMessageBatchRequestEntry, Message},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::{BoxFuture, join_all};
use release_core::{Name, full_message};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{BucketName, connection::LONG_POLL, trouble::Trouble};
use message::Contents;

/// What one request may bring.
const BATCH: i32 = 10;
/// How long a message is ours after we got it; then it comes again, to whichever server asks.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);
/// Less, so that nobody else gets a message that is being handed over.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(20);
const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// An artifact that was stored. Told at least once, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredArtifact {
    pub service: Name,
    pub artifact_id: Name,
    /// Tells its contents from those of an earlier upload.
    pub etag: String,
}

/// Takes a stored artifact; when it returns, the artifact is not forgotten. The error is a sentence.
pub type HandOver = dyn Fn(StoredArtifact) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// The notifications of a bucket. Makes what is missing for them: bucket, queue, the queue's
/// policy, the bucket's notification. What others set up there stays.
pub struct Notifications {
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    bucket: BucketName,
    problem: watch::Sender<Option<String>>,
}

/// Why there are no notifications at the moment.
#[derive(Debug, thiserror::Error)]
enum NotificationError {
    #[error("the {step} cannot be set up")]
    SetUp { step: &'static str, source: Trouble },
    #[error("the policy of the queue is no JSON object, so nothing can be added to it; correct or remove it")]
    Policy,
    #[error("the queue cannot be read")]
    Receive(#[source] Trouble),
}

impl Notifications {
    pub(super) fn new(s3: aws_sdk_s3::Client, sqs: aws_sdk_sqs::Client, bucket: BucketName) -> Self {
        Self { s3, sqs, bucket, problem: watch::Sender::new(None) }
    }

    /// Why no notifications come; `None` while all is well.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.problem.subscribe()
    }

    /// Makes bucket, queue and what joins them, now and once. What fails is noted, and tried again by
    /// [`Notifications::run`].
    pub async fn prepare(&self) {
        if let Err(error) = self.set_up().await {
            self.note(full_message(&error));
        }
    }

    /// Hands over every artifact that is stored, until `stop`; then finishes what it has in hand. A
    /// message is deleted only after all that it told of was handed over.
    pub async fn run(self, hand_over: Box<HandOver>, stop: CancellationToken) {
        let mut queue_url = None;
        let mut delays = delays();
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => return,
                received = self.receive(&mut queue_url) => received,
            };
            let handed_over = match received {
                Ok((queue_url, messages)) => self.handle(&queue_url, messages, &hand_over).await,
                Err(error) => Err(full_message(&error)),
            };
            match handed_over {
                Ok(()) => {
                    self.well();
                    delays = self::delays();
                }
                Err(problem) => {
                    self.note(problem);
                    // Whatever it was, somebody may have deleted or changed something meanwhile.
                    queue_url = None;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY)) => {}
                    }
                }
            }
        }
    }

    /// The next messages, of a queue that is set up when it is not known.
    async fn receive(
        &self,
        queue_url: &mut Option<String>,
    ) -> Result<(String, Vec<Message>), NotificationError> {
        let url = match queue_url {
            Some(url) => url.clone(),
            None => queue_url.insert(self.set_up().await?).clone(),
        };
        let seconds = |time: Duration| i32::try_from(time.as_secs()).expect("it is short");
        let received = self
            .sqs
            .receive_message()
            .queue_url(&url)
            .max_number_of_messages(BATCH)
            .wait_time_seconds(seconds(LONG_POLL))
            .visibility_timeout(seconds(VISIBILITY_TIMEOUT))
            .send()
            .await
            .map_err(|error| NotificationError::Receive(Trouble::of(&error)))?;
        Ok((url, received.messages.unwrap_or_default()))
    }

    async fn handle(
        &self,
        queue_url: &str,
        messages: Vec<Message>,
        hand_over: &HandOver,
    ) -> Result<(), String> {
        let handed_over = messages.iter().map(async |message| {
            let contents = message::read(message.body().unwrap_or_default(), self.bucket.as_str());
            self.hand_over(contents, hand_over).await
        });
        let handed_over = join_all(handed_over).await;
        let done = messages.iter().zip(&handed_over).filter(|(_, result)| result.is_ok());
        self.delete(queue_url, done.map(|(message, _)| message)).await?;
        handed_over.into_iter().collect()
    }

    async fn hand_over(&self, contents: Contents, hand_over: &HandOver) -> Result<(), String> {
        for ignored in contents.ignored {
            tracing::warn!(reason = ignored, bucket = %self.bucket, "a notification is passed over");
        }
        for artifact in contents.artifacts {
            let handed_over = timeout(HAND_OVER_TIMEOUT, hand_over(artifact)).await;
            handed_over
                .map_err(|_| "a new artifact was not accepted in time".to_owned())?
                .map_err(|error| format!("a new artifact was not accepted: {error}"))?;
        }
        Ok(())
    }

    /// What stays comes again, which does no harm.
    async fn delete(&self, queue_url: &str, messages: impl Iterator<Item = &Message>) -> Result<(), String> {
        let entries: Vec<_> = messages
            .enumerate()
            .filter_map(|(index, message)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(message.receipt_handle()?).build().ok()
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let delete = self.sqs.delete_message_batch().queue_url(queue_url).set_entries(Some(entries));
        let deleted = delete.send().await.map_err(|error| not_deleted(&error))?;
        match deleted.failed().first() {
            Some(failed) => Err(format!("messages cannot be deleted from the queue: {}", failed.code())),
            None => Ok(()),
        }
    }

    fn well(&self) {
        if self.problem.send_replace(None).is_some() {
            tracing::info!(bucket = %self.bucket, "new artifacts are noticed again");
        }
    }

    /// Each problem is logged once, however often it is met.
    fn note(&self, problem: String) {
        if self.problem.borrow().as_ref() != Some(&problem) {
            tracing::warn!(bucket = %self.bucket, "new artifacts are not noticed: {problem}");
            self.problem.send_replace(Some(problem));
        }
    }
}

fn not_deleted<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    format!("messages cannot be deleted from the queue: {}", Trouble::of(error))
}

fn delays() -> impl Iterator<Item = Duration> {
    let backoff = ExponentialBuilder::default().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
    backoff.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests;
