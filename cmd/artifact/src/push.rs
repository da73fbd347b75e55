//! Handing the artifact to the server.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use release_api::CreateArtifactRequest;
use release_client::{
    Client, ClientConfig, ClientError, Credentials, MachineLogin, ProviderConfig, ProviderError, Secret,
    TokenError, parse_base_url, parse_provider_url,
};
use release_core::Spec;
use release_storage::{Limits, Packed, pack};
use release_telemetry::TraceContext;
use release_terminal::{CliError, Line, Printer, Progress};
use tempfile::NamedTempFile;

use crate::{
    cli::{Location, Login, Push},
    spec_file::SpecFile,
};

/// The longest that the server may think about one request.
const TIMEOUT: Duration = Duration::from_mins(2);

pub(crate) fn push(
    location: &Location,
    file: &SpecFile,
    args: Push,
    printer: &Printer,
) -> Result<Line, CliError> {
    let client = client(args)?;
    let artifact = file.read()?;
    let packed = pack(&location.root, Limits::default()).map_err(|error| CliError::from_chain(&error))?;
    let zip = write_zip(&packed).map_err(|error| {
        CliError::failed(format!("the zip cannot be written to a temporary file: {error}"))
    })?;
    let sentence = format!("Artifact {} of service {} pushed", artifact.id, artifact.service);
    let size = format!("({} files, {} KiB)", packed.files, packed.zip.len().div_ceil(1024));
    let request = CreateArtifactRequest { artifact, md5: packed.md5.to_string() };
    upload(&client, &request, zip.path(), printer)?;
    Ok(Line::new().good(sentence).plain(' ').dim(size))
}

fn client(args: Push) -> Result<Client, CliError> {
    let base_url = parse_base_url(&args.http_base_url)
        .map_err(|error| CliError::usage(format!("--http-base-url (ARTIFACT_URL) {error}")))?;
    let config = ClientConfig {
        base_url,
        timeout: TIMEOUT,
        credentials: credentials(args.auth_token, args.login)?,
        cli_version: env!("CARGO_PKG_VERSION").to_owned(),
        trace: TraceContext::current_header,
    };
    Client::new(config).map_err(|error| cli_error(&error))
}

/// A token of the server goes first. A variable that is set to nothing is not set.
fn credentials(token: Option<Secret>, login: Login) -> Result<Credentials, CliError> {
    let token = token.filter(|token| !token.expose().is_empty());
    let idp_url = login.idp_url.filter(|url| !url.is_empty());
    let (None, Some(idp_url), Some(client_id)) = (&token, idp_url, login.client_id) else {
        return Ok(token.into());
    };
    let url = parse_provider_url(&idp_url)
        .map_err(|error| CliError::usage(format!("--idp-url (ARTIFACT_IDP_URL) {error}")))?;
    let config = ProviderConfig {
        url,
        client_id,
        client_secret: login.client_secret,
        scopes: login.artifact_scope.split_whitespace().map(str::to_owned).collect(),
    };
    Ok(Credentials::Machine(Arc::new(MachineLogin::new(config))))
}

fn write_zip(packed: &Packed) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(&packed.zip)?;
    Ok(file)
}

fn upload(
    client: &Client,
    request: &CreateArtifactRequest,
    zip: &Path,
    printer: &Printer,
) -> Result<(), CliError> {
    let progress = Progress::start(printer, &starting(&request.artifact));
    let again = |error: &ClientError, delay: Duration| {
        printer.warn(format!("{error}; trying again in {:.1} s", delay.as_secs_f32()));
    };
    let attempt = || upload_once(client, request, zip);
    let attempts = attempt.retry(backoff()).when(may_work_later).notify(again);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failed(format!("the program cannot start: {error}")))?;
    let result = runtime.block_on(attempts);
    drop(progress);
    result.map_err(|error| cli_error(&error))
}

/// Each attempt has a fresh URL, because the old one may be what was wrong.
async fn upload_once(
    client: &Client,
    request: &CreateArtifactRequest,
    zip: &Path,
) -> Result<(), ClientError> {
    let url = client.create_artifact(request).await?.artifact_upload_url;
    client.upload(&url, zip, &request.md5).await
}

/// Five more attempts in about half a minute, which is what a server needs to
/// start again. The client already repeats what fails for a second.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(500)).with_max_times(5)
}

fn may_work_later(error: &ClientError) -> bool {
    match error {
        ClientError::NoToken(error) => error.is_transient(),
        ClientError::Unreachable { .. }
        | ClientError::TimedOut { .. }
        | ClientError::Interrupted { .. }
        | ClientError::ServerFailed { .. } => true,
        // An expired URL is a 403 or a 410.
        ClientError::UploadRefused { status, .. } => matches!(status, 403 | 408 | 410 | 429 | 500..),
        ClientError::NotTheServer { status, .. } => *status >= 500,
        _ => false,
    }
}

fn starting(artifact: &Spec) -> String {
    format!("Pushing artifact {} of service {} …", artifact.id, artifact.service)
}

fn cli_error(error: &ClientError) -> CliError {
    let mut cli_error = CliError::failed(format!("the artifact was not pushed: {error}"));
    if let Some(request_id) = error.request_id() {
        cli_error = cli_error.reference(request_id);
    }
    match error {
        ClientError::NoToken(TokenError::Provider(ProviderError::Refused { .. })) => {
            cli_error.hint("check ARTIFACT_CLIENT_ID, ARTIFACT_CLIENT_SECRET and ARTIFACT_SCOPE")
        }
        ClientError::NoToken(_) => cli_error.hint("check --idp-url (ARTIFACT_IDP_URL)"),
        ClientError::Unauthorized { .. } => {
            cli_error.hint("give one of the server's artifact tokens in ARTIFACT_AUTH_TOKEN, or log in with ARTIFACT_IDP_URL")
        }
        ClientError::Unreachable { .. } | ClientError::NotTheServer { .. } => {
            cli_error.hint("check --http-base-url (ARTIFACT_URL)")
        }
        _ => cli_error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_work_later_is_tried_again() {
        let refused = |status| ClientError::UploadRefused {
            status,
            message: String::new(),
            request_id: uuid::Uuid::nil(),
        };
        let unreachable = ClientError::Unreachable { url: String::new(), cause: String::new() };
        assert!(may_work_later(&unreachable));
        for status in [403, 408, 410, 429, 500, 503] {
            assert!(may_work_later(&refused(status)), "{status}");
        }
        for status in [400, 404, 413] {
            assert!(!may_work_later(&refused(status)), "{status}");
        }
        assert!(!may_work_later(&ClientError::BadName(String::new())));
    }
}
