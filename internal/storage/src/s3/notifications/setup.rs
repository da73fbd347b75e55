//! Makes bucket, queue and what joins them, where they are missing.

use std::error::Error;

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        create_bucket::CreateBucketError,
        get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput,
    },
    types::{
        BucketLocationConstraint, CreateBucketConfiguration, Event, NotificationConfiguration,
        QueueConfiguration,
    },
};
use aws_sdk_sqs::{operation::get_queue_url::GetQueueUrlError, types::QueueAttributeName};

use super::{NotificationError, Notifications, policy};
use crate::s3::trouble::Trouble;

/// Ours among the notifications of a bucket.
const NOTIFICATION: &str = "release-manager-new-artifacts";
/// For how long servers may be away without missing anything: 14 days, which is the most.
const RETENTION_SECONDS: &str = "1209600";
/// The only region that must not be named when a bucket is made.
const NAMELESS_REGION: &str = "us-east-1";

impl Notifications {
    /// The queue's URL. Safe to repeat, also by several servers at once.
    pub(super) async fn set_up(&self) -> Result<String, NotificationError> {
        // The queue first, so that a new bucket is hardly a moment without notifications; but a bucket
        // without them is better than none.
        let queue = self.make_queue().await;
        self.make_bucket().await?;
        let (url, arn) = queue?;
        self.notify(&arn).await?;
        Ok(url)
    }

    /// Nobody else may read a new bucket, which is S3's default.
    async fn make_bucket(&self) -> Result<(), NotificationError> {
        let list = self.s3.list_objects_v2().bucket(self.bucket.as_str()).max_keys(1).send();
        match list.await.map_err(|error| Trouble::of(&error)) {
            Ok(_) => return Ok(()),
            Err(Trouble::NoBucket(_)) => {}
            Err(source) => return Err(NotificationError::SetUp { step: "bucket", source }),
        }
        let region = self.s3.config().region().map(ToString::to_string);
        let region = region.filter(|region| region != NAMELESS_REGION);
        let configuration = region.map(|region| {
            let region = BucketLocationConstraint::from(region.as_str());
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let create = self.s3.create_bucket().bucket(self.bucket.as_str());
        match create.set_create_bucket_configuration(configuration).send().await {
            Ok(_) => {
                tracing::info!(bucket = %self.bucket, "made the bucket of artifacts");
                Ok(())
            }
            Err(error) if is_ours_already(&error) => Ok(()),
            Err(error) => Err(failed("bucket")(error)),
        }
    }

    /// Its URL and ARN.
    async fn make_queue(&self) -> Result<(String, String), NotificationError> {
        let url = self.queue_url().await?;
        let arn = self.allow_bucket_to_send(&url).await?;
        Ok((url, arn))
    }

    async fn queue_url(&self) -> Result<String, NotificationError> {
        let name = self.bucket.queue();
        match self.sqs.get_queue_url().queue_name(&name).send().await {
            Ok(found) => return Ok(found.queue_url.unwrap_or_default()),
            Err(error)
                if matches!(error.as_service_error(), Some(GetQueueUrlError::QueueDoesNotExist(_))) => {}
            Err(error) => return Err(failed("queue")(error)),
        }
        let create = self.sqs.create_queue().queue_name(&name);
        let create = create.attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS);
        let created = create.send().await.map_err(failed("queue"))?;
        tracing::info!(queue = name, "made the queue of the bucket's notifications");
        Ok(created.queue_url.unwrap_or_default())
    }

    /// The queue's ARN.
    async fn allow_bucket_to_send(&self, queue_url: &str) -> Result<String, NotificationError> {
        let attributes = self
            .sqs
            .get_queue_attributes()
            .queue_url(queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .attribute_names(QueueAttributeName::Policy)
            .send()
            .await
            .map_err(failed("policy of the queue"))?;
        let attribute = |name| attributes.attributes().and_then(|attributes| attributes.get(&name));
        let arn = attribute(QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let policy = attribute(QueueAttributeName::Policy).map(String::as_str);
        let policy = policy::allowing(policy, &arn, self.bucket.as_str());
        if let Some(policy) = policy.map_err(|()| NotificationError::Policy)? {
            let set = self.sqs.set_queue_attributes().queue_url(queue_url);
            let set = set.attributes(QueueAttributeName::Policy, policy).send();
            set.await.map_err(failed("policy of the queue"))?;
        }
        Ok(arn)
    }

    async fn notify(&self, queue_arn: &str) -> Result<(), NotificationError> {
        let get = self.s3.get_bucket_notification_configuration().bucket(self.bucket.as_str()).send();
        let found = get.await.map_err(failed("notification of the bucket"))?;
        let Some(configuration) = notifying(found, queue_arn) else { return Ok(()) };
        let put = self.s3.put_bucket_notification_configuration().bucket(self.bucket.as_str());
        let put = put.notification_configuration(configuration).send();
        put.await.map(drop).map_err(failed("notification of the bucket"))
    }
}

/// The bucket's notifications with ours among them, or `None` when it is there already. S3 knows
/// only all of them at once, so those of others are repeated.
fn notifying(
    found: GetBucketNotificationConfigurationOutput,
    queue_arn: &str,
) -> Option<NotificationConfiguration> {
    let mut queues = found.queue_configurations.unwrap_or_default();
    let tells_all = |queue: &QueueConfiguration| {
        queue.queue_arn == queue_arn
            && queue.events.contains(&Event::S3ObjectCreated)
            && queue.filter.is_none()
    };
    if queues.iter().any(tells_all) {
        return None;
    }
    queues.retain(|queue| queue.id() != Some(NOTIFICATION));
    let ours = QueueConfiguration::builder().id(NOTIFICATION).queue_arn(queue_arn);
    queues.push(ours.events(Event::S3ObjectCreated).build().expect("all that it needs is given"));
    let configuration = NotificationConfiguration::builder()
        .set_topic_configurations(found.topic_configurations)
        .set_queue_configurations(Some(queues))
        .set_lambda_function_configurations(found.lambda_function_configurations)
        .set_event_bridge_configuration(found.event_bridge_configuration);
    Some(configuration.build())
}

/// Another server was faster.
fn is_ours_already(error: &SdkError<CreateBucketError>) -> bool {
    matches!(error.as_service_error(), Some(CreateBucketError::BucketAlreadyOwnedByYou(_)))
}

fn failed<E>(step: &'static str) -> impl Fn(SdkError<E>) -> NotificationError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    move |error| NotificationError::SetUp { step, source: Trouble::of(&error) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{EventBridgeConfiguration, LambdaFunctionConfiguration, TopicConfiguration};

    use super::*;

    fn queue(id: &str, arn: &str, event: Event) -> QueueConfiguration {
        QueueConfiguration::builder().id(id).queue_arn(arn).events(event).build().unwrap()
    }

    #[test]
    fn notifications_of_others_stay() {
        let others = queue("monitoring", "theirs", Event::S3ObjectRemoved);
        let topic = TopicConfiguration::builder().topic_arn("topic").events(Event::S3ObjectRemoved);
        let lambda = LambdaFunctionConfiguration::builder().lambda_function_arn("fn");
        let found = GetBucketNotificationConfigurationOutput::builder()
            .topic_configurations(topic.build().unwrap())
            .queue_configurations(others.clone())
            .queue_configurations(queue(NOTIFICATION, "an older queue", Event::S3ObjectCreated))
            .lambda_function_configurations(lambda.events(Event::S3ObjectRemoved).build().unwrap())
            .event_bridge_configuration(EventBridgeConfiguration::builder().build())
            .build();
        let merged = notifying(found.clone(), "ours").unwrap();
        let ours = queue(NOTIFICATION, "ours", Event::S3ObjectCreated);
        assert_eq!(merged.queue_configurations(), [others, ours]);
        assert_eq!(merged.topic_configurations(), found.topic_configurations());
        assert_eq!(merged.lambda_function_configurations(), found.lambda_function_configurations());
        assert_eq!(merged.event_bridge_configuration(), found.event_bridge_configuration());
    }

    #[test]
    fn what_is_set_up_already_is_not_touched() {
        let found = GetBucketNotificationConfigurationOutput::builder();
        let found = found.queue_configurations(queue("by hand", "ours", Event::S3ObjectCreated));
        assert_eq!(notifying(found.build(), "ours"), None);
    }
}
