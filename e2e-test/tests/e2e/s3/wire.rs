//! What is on the wire and in the store, byte for byte, as a plain client sees it.

use release_testing::origin::Origin;
use serde_json::json;

use super::{Cloud, until_current};
use crate::harness::Artifact;

const SETUP: &str = "
attributes = sqs.get_queue_attributes(QueueUrl=queue(), AttributeNames=['All'])['Attributes']
notification = s3.get_bucket_notification_configuration(Bucket=bucket)
notification.pop('ResponseMetadata')
show({
    'notification': notification,
    'arn': attributes['QueueArn'],
    'policy': attributes.get('Policy'),
    'retention': attributes['MessageRetentionPeriod'],
})";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_client_finds_what_our_tools_wrote() {
    const SCRIPT: &str = "
found = []
for entry in s3.list_objects_v2(Bucket=bucket)['Contents']:
    object = s3.get_object(Bucket=bucket, Key=entry['Key'])
    body = object['Body'].read()
    found.append([entry['Key'], object['ContentType'], object['ETag']])
show([found, hashlib.md5(body).hexdigest(), list(body)])";
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    let artifact = Artifact::new("payments", "feature_x-0017d995e3-67e9d69164");
    server.push(&artifact).await;
    let found = cloud.plain(SCRIPT, &[]).await;
    let [key, content_type, etag] = &found[0][0].as_array().expect("one object")[..] else {
        panic!("{found}")
    };
    assert_eq!(found[0].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(key, "payments/feature_x-0017d995e3-67e9d69164");
    assert_eq!(content_type, "application/zip");
    assert_eq!(etag, &format!("\"{}\"", found[1].as_str().expect("an MD5")));
    assert_eq!(found[2], json!(artifact.zip));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plain_client_stored_is_released() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    server.auto_release("svc").await;
    cloud.plain("put('svc', 'master-1-2')", &[]).await;
    until_current(&origin, "svc", "master-1-2").await;
    let file = origin.file("dev/releases/dev/svc/deployment.yaml").expect("it is released");
    assert_eq!(file, b"image: master-1-2\n");
    // Names that are encoded in notifications.
    server.auto_release("Søren+1").await;
    cloud.plain("put('Søren+1', 'master-1-2')", &[]).await;
    until_current(&origin, "Søren+1", "master-1-2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_and_queue_are_joined_as_agreed_and_only_once() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    let found = cloud.plain(SETUP, &[]).await;
    let bucket = &cloud.bucket;
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{bucket}-s3-bucket-notifications");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"release-manager-bucket-notifications","Effect":"Allow","Principal":{{"Service":"s3.amazonaws.com"}},"Action":"sqs:SendMessage","Resource":"{arn}","Condition":{{"ArnEquals":{{"aws:SourceArn":"arn:aws:s3:::{bucket}"}},"StringEquals":{{"aws:SourceAccount":"000000000000"}}}}}}]}}"#
    );
    let expected = json!({
        "notification": {"QueueConfigurations": [
            {"Id": "release-manager-new-artifacts", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]},
        ]},
        "arn": arn,
        "policy": policy,
        "retention": "1209600",
    });
    assert_eq!(found, expected);
    server.kill();
    server.restart().await;
    assert_eq!(cloud.plain(SETUP, &[]).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_set_up_stays() {
    const OTHERS: &str = "
s3.create_bucket(Bucket=bucket)
sqs.create_queue(QueueName=f'{bucket}-theirs')
url = sqs.create_queue(QueueName=f'{bucket}-s3-bucket-notifications')['QueueUrl']
arn = f'arn:aws:sqs:us-east-1:000000000000:{bucket}-theirs'
theirs = {'Id': 'theirs', 'QueueArn': arn, 'Events': ['s3:ObjectRemoved:*']}
s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={'QueueConfigurations': [theirs]})
statement = {'Sid': 'theirs', 'Effect': 'Allow', 'Principal': '*', 'Action': 'sqs:GetQueueUrl', 'Resource': '*'}
policy = json.dumps({'Version': '2012-10-17', 'Statement': [statement]})
sqs.set_queue_attributes(QueueUrl=url, Attributes={'Policy': policy})";
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    cloud.plain(OTHERS, &[]).await;
    let server = cloud.server(&origin).await;
    let found = cloud.plain(SETUP, &[]).await;
    let ids: Vec<_> = found["notification"]["QueueConfigurations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|configuration| configuration["Id"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(ids, ["theirs", "release-manager-new-artifacts"]);
    let policy = found["policy"].as_str().expect("a policy");
    let (theirs, ours) = (policy.find("\"theirs\""), policy.find("release-manager-bucket-notifications"));
    assert!(theirs.is_some() && ours.is_some(), "{policy}");
    server.auto_release("svc").await;
    server.push_new("svc", "master-1-2").await;
    until_current(&origin, "svc", "master-1-2").await;
}
