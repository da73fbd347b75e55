//! Where artifacts are: in the data directory, or in a bucket.

use std::{path::Path, sync::Arc, time::Instant};

use clap::{Args, builder::BoolishValueParser};
use release_core::event::NewArtifact;
use release_flow::Flow;
use release_storage::{
    BucketName, DirectoryStore, HandOver, Notifications, S3Options, S3Store, Storage, StoredArtifact,
};
use release_telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};
use url::Url;
use uuid::Uuid;

use crate::flags::StartFlags;

/// Without a bucket artifacts are in the data directory.
#[derive(Args)]
pub(crate) struct S3Flags {
    /// Bucket that artifacts are in; made when it is missing [default: artifacts are in the data directory]
    #[arg(
        long = "s3-artifact-storage-bucket-name",
        env = "S3_ARTIFACT_STORAGE_BUCKET_NAME",
        value_name = "BUCKET"
    )]
    bucket: Option<BucketName>,
    /// URL of a store that is compatible with S3 and SQS [default: the cloud's own]
    #[arg(
        long = "s3-artifact-storage-endpoint", env = "S3_ARTIFACT_STORAGE_ENDPOINT", value_name = "URL",
        value_parser = release_client::parse_base_url, requires = "bucket"
    )]
    endpoint: Option<Url>,
    /// Region of the bucket and its queue [default: what the SDK finds]
    #[arg(
        long = "s3-artifact-storage-region",
        env = "S3_ARTIFACT_STORAGE_REGION",
        value_name = "REGION",
        requires = "bucket"
    )]
    region: Option<String>,
    /// Name the bucket in the path of URLs instead of the host name, as most compatible stores need it
    #[arg(
        long = "s3-artifact-storage-path-style", env = "S3_ARTIFACT_STORAGE_PATH_STYLE", default_value_t = false,
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    path_style: bool,
}

pub(crate) struct ArtifactStorage {
    pub(crate) storage: Arc<dyn Storage>,
    /// What takes uploads, unless they go to a bucket.
    pub(crate) uploads: Option<DirectoryStore>,
    /// What tells of uploads that go to a bucket.
    pub(crate) notifications: Option<Notifications>,
}

/// `port` is the one that is listened on. A bucket that is away does not keep the server from starting.
pub(crate) async fn open(flags: &StartFlags, data_dir: &Path, port: u16) -> anyhow::Result<ArtifactStorage> {
    let limits = flags.artifacts.limits();
    let S3Flags { bucket, endpoint, region, path_style } = &flags.s3;
    let Some(bucket) = bucket else {
        let store = DirectoryStore::open(&data_dir.join("storage"), flags.external_url(port), limits)?;
        let storage = Arc::new(store.clone());
        return Ok(ArtifactStorage { storage, uploads: Some(store), notifications: None });
    };
    let options = S3Options {
        bucket: bucket.clone(),
        endpoint: endpoint.clone(),
        region: region.clone(),
        path_style: *path_style,
        limits,
    };
    // Boxed: the SDK's futures are large.
    let (store, notifications) = Box::pin(S3Store::new(options)).await?;
    Box::pin(notifications.prepare()).await;
    Ok(ArtifactStorage { storage: Arc::new(store), uploads: None, notifications: Some(notifications) })
}

/// Lets the use cases know of what is stored in the bucket, until `stop`.
pub(crate) fn listen(
    notifications: Notifications,
    flow: Flow,
    metrics: Metrics,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let mut problem = notifications.problem();
    let observed = metrics.clone();
    tokio::spawn(async move {
        loop {
            observed.set_artifact_notifications_up(problem.borrow_and_update().is_none());
            if problem.changed().await.is_err() {
                return;
            }
        }
    });
    let hand_over: Box<HandOver> = Box::new(move |stored| {
        let (flow, metrics) = (flow.clone(), metrics.clone());
        Box::pin(async move { accept(&flow, &metrics, stored).await })
    });
    tokio::spawn(notifications.run(hand_over, stop))
}

async fn accept(flow: &Flow, metrics: &Metrics, stored: StoredArtifact) -> Result<(), String> {
    let StoredArtifact { service, artifact_id, etag } = stored;
    let request_id = Uuid::new_v4().to_string();
    let span =
        info_span!("notification", requestId = request_id, service = %service, "artifact-id" = %artifact_id);
    let started = Instant::now();
    let artifact = NewArtifact { service, artifact_id };
    let stored = flow.artifact_stored(artifact, &etag, request_id).instrument(span.clone()).await;
    let outcome = if stored.is_ok() { "success" } else { "unavailable" };
    metrics.observe_flow("artifact_stored", outcome, started.elapsed());
    stored.map_err(|error| error.to_string())?;
    span.in_scope(|| info!("An artifact was stored"));
    Ok(())
}
