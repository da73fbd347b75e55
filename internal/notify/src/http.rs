//! What the three APIs have in common.

use std::time::Duration;

use chrono::Utc;
use reqwest::{
    RequestBuilder, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};

use crate::{DeliveryError, SetupError};

/// From connecting to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No answer that we read is longer than a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// A client that never takes a token to where it was redirected.
pub(crate) fn client() -> Result<reqwest::Client, SetupError> {
    Ok(reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("release-manager/", env!("CARGO_PKG_VERSION")))
        .build()?)
}

/// Sends a request to `api`, the name for people. Answers that mean "not now" are errors.
pub(crate) async fn send(api: &str, request: RequestBuilder) -> Result<Answer, DeliveryError> {
    let mut response = request.send().await.map_err(|error| broken(api, error))?;
    let status = response.status();
    if let Some(retry_after) = rate_limit(status, response.headers()) {
        let reason = format!("{api} limits the rate of requests");
        return Err(DeliveryError::Unavailable { reason, retry_after: Some(retry_after) });
    }
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return Err(unavailable(format!("{api} answered {status}")));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(api, error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(DeliveryError::Refused(format!("{api} answered more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

pub(crate) fn unavailable(reason: String) -> DeliveryError {
    DeliveryError::Unavailable { reason, retry_after: None }
}

/// The status, and what the API says about it, as far as it fits a log line.
pub(crate) fn describe(api: &str, answer: &Answer) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or("no reason given");
    format!("{api} answered {}: {message:.200}", answer.status)
}

/// The innermost cause says the most: "connection refused". Without the URL, which helps nobody.
fn broken(api: &str, error: reqwest::Error) -> DeliveryError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    unavailable(format!("{api} cannot be reached: {cause}"))
}

/// How long to wait, when this answer says that we ask too often. GitHub says so with 403 too.
fn rate_limit(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    /// Their advice where an answer does not say how long.
    const DEFAULT: Duration = Duration::from_mins(1);
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let seconds = |seconds: i64| Duration::from_secs(seconds.max(0).unsigned_abs());
    let retry_after = number(RETRY_AFTER.as_str()).map(seconds);
    let is_used_up = number("x-ratelimit-remaining") == Some(0);
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN if retry_after.is_some() => retry_after,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN if is_used_up => {
            let reset = number("x-ratelimit-reset").map(|at| seconds(at - Utc::now().timestamp()));
            Some(reset.unwrap_or(DEFAULT))
        }
        StatusCode::TOO_MANY_REQUESTS => Some(DEFAULT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn rate_limits_are_told_apart_from_refusals() {
        let soon = (Utc::now().timestamp() + 100).to_string();
        let cases: [(u16, Headers<'_>, Option<u64>); 7] = [
            (429, &[("retry-after", "30")], Some(30)),
            (429, &[], Some(60)),
            (403, &[("retry-after", "7"), ("x-ratelimit-remaining", "10")], Some(7)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &soon)], Some(100)),
            (403, &[("x-ratelimit-remaining", "10")], None),
            (403, &[], None),
            (200, &[("x-ratelimit-remaining", "0")], None),
        ];
        for (status, headers, expected) in cases {
            let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let found = rate_limit(StatusCode::from_u16(status).unwrap(), &map.collect());
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => expected.abs_diff(found.as_secs()) <= 1,
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_near, "{status} {headers:?}: {found:?}");
        }
    }
}
