//! The clients of S3 and SQS.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use url::Url;

use super::BucketName;
use crate::Limits;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 3;
/// One attempt, up to the beginning of the body.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(6);
/// All attempts. Below the time that a request to the server may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a queue may let us wait for its next message. What it allows at most.
pub(super) const LONG_POLL: Duration = Duration::from_secs(20);
/// For stores that have no regions, and where nothing else is configured.
const ANY_REGION: &str = "us-east-1";

/// Where artifacts are. Credentials come from the SDK's usual places.
#[derive(Debug, Clone)]
pub struct S3Options {
    pub bucket: BucketName,
    /// Of S3 and SQS alike. `None`: the cloud's own.
    pub endpoint: Option<Url>,
    /// `None`: from the SDK's usual places.
    pub region: Option<String>,
    /// The bucket in the path of URLs, not in the host name.
    pub path_style: bool,
    pub limits: Limits,
}

/// Why the storage cannot be set up from what was given.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("the region of the bucket is not known; give --s3-artifact-storage-region or AWS_REGION")]
    NoRegion,
}

pub(super) async fn config(options: &S3Options) -> Result<SdkConfig, S3Error> {
    let given = RegionProviderChain::first_try(options.region.clone().map(Region::new));
    let region = match &options.endpoint {
        // Asking the cloud's machines for it would take seconds where there are none.
        Some(_) => given.or_else(EnvironmentVariableRegionProvider::new()).or_else(Region::new(ANY_REGION)),
        None => given.or_default_provider(),
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(TIMEOUT);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts.build())
        // Stores other than the cloud's own do not know all checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    let config = loader.load().await;
    if config.region().is_none() { Err(S3Error::NoRegion) } else { Ok(config) }
}

pub(super) fn s3(config: &SdkConfig, path_style: bool) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style);
    aws_sdk_s3::Client::from_conf(config.build())
}

pub(super) fn sqs(config: &SdkConfig) -> aws_sdk_sqs::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(LONG_POLL + ATTEMPT_TIMEOUT)
        .operation_timeout(LONG_POLL + TIMEOUT);
    let config = aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts.build());
    aws_sdk_sqs::Client::from_conf(config.build())
}
