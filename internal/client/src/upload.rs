use std::{path::Path, time::Duration};

use backon::Retryable as _;
use release_api::REQUEST_ID_HEADER;
use reqwest::{
    Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use tokio::fs::File;
use uuid::Uuid;

use crate::{
    Client, ClientError,
    call::{backoff, read_bounded},
    error::root_cause,
};

/// As long as the upload URL is valid: a large zip on a slow line takes its time.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(15);
/// The beginning of an artifact store's refusal says enough.
const MAX_REFUSAL: usize = 64 * 1024;
const ZIP: &str = "application/zip";
const SHOWN_REFUSAL: usize = 300;

impl Client {
    /// PUTs a zip to the URL that [`Client::create_artifact`] gave, with the
    /// base64 of its MD5. The same bytes may be sent again, so it is repeated
    /// like a reading call. The token is not sent: the URL is signed and may be
    /// another company's.
    pub async fn upload(&self, upload_url: &str, zip: &Path, md5: &str) -> Result<(), ClientError> {
        let url = Url::parse(upload_url)
            .map_err(|_| ClientError::Setup { cause: "the server's upload URL is not a URL".to_owned() })?;
        let attempt = || self.upload_once(&url, zip, md5);
        attempt.retry(backoff()).when(is_transient).await
    }

    async fn upload_once(&self, url: &Url, zip: &Path, md5: &str) -> Result<(), ClientError> {
        let request_id = Uuid::new_v4();
        let file = File::open(zip).await.map_err(|error| unreadable(&error))?;
        let size = file.metadata().await.map_err(|error| unreadable(&error))?.len();
        let request = self
            .http
            .put(url.clone())
            .timeout(UPLOAD_TIMEOUT)
            .header(REQUEST_ID_HEADER, request_id.to_string())
            .header("content-md5", md5)
            // A bucket keeps it with the object.
            .header(CONTENT_TYPE, ZIP)
            // S3 takes no chunked body.
            .header(CONTENT_LENGTH, size)
            .body(file);
        let failed = |error: reqwest::Error| self.transport_error(&error, url, request_id);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let refusal = read_bounded(response, MAX_REFUSAL).await.map_err(failed)?.unwrap_or_default();
        let message = String::from_utf8_lossy(&refusal).trim().chars().take(SHOWN_REFUSAL).collect();
        Err(ClientError::UploadRefused { status: status.as_u16(), message, request_id })
    }
}

fn is_transient(error: &ClientError) -> bool {
    error.is_transient() || error.status() == Some(500)
}

fn unreadable(error: &std::io::Error) -> ClientError {
    ClientError::File { cause: root_cause(error) }
}
