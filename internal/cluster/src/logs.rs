//! The last words of a container.

use std::time::Duration;

use futures::{AsyncReadExt as _, TryFutureExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde::Deserialize;
use tokio::time::timeout;

use crate::failure;

const LINES: u8 = 8;
/// The most that is read of a log, in bytes.
const MAX_READ: u32 = 256 << 10;
/// The most that is told of it, in bytes.
const MAX_TOLD: usize = 8 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The last lines of a container's log, or why there are none.
pub(crate) async fn last_words(client: Client, namespace: &str, pod: &str, container: &str) -> String {
    match timeout(TIMEOUT, read(client, namespace, pod, container)).await {
        Ok(Ok(log)) => told(&String::from_utf8_lossy(&log)).unwrap_or_else(|| "its log is empty".to_owned()),
        Ok(Err(reason)) => format!("its log cannot be had: {reason}"),
        Err(_) => format!("its log cannot be had: it did not come within {} s", TIMEOUT.as_secs()),
    }
}

async fn read(client: Client, namespace: &str, pod: &str, container: &str) -> Result<Vec<u8>, String> {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let parameters = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(LINES.into()),
        limit_bytes: Some(MAX_READ.into()),
        ..LogParams::default()
    };
    let log = pods.log_stream(pod, &parameters).map_err(|error| failure::sentence(&error)).await?;
    let mut text = Vec::new();
    log.take(MAX_READ.into()).read_to_end(&mut text).await.map_err(|error| error.to_string())?;
    Ok(text)
}

#[derive(Deserialize)]
struct JsonLine {
    message: String,
}

/// The last lines, or what they say where all of them are JSON; the end of it where it is long. `None`: they
/// say nothing.
fn told(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let lines = &lines[lines.len().saturating_sub(LINES.into())..];
    let json = lines.iter().map(|line| serde_json::from_str::<JsonLine>(line));
    let text = match json.collect::<Result<Vec<_>, _>>() {
        Ok(messages) => messages.into_iter().map(|line| line.message).collect::<Vec<_>>().join("\n"),
        Err(_) => lines.join("\n"),
    };
    let start = text.ceil_char_boundary(text.len().saturating_sub(MAX_TOLD));
    Some(&text[start..]).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_lines_are_told_and_of_json_the_messages() {
        let lines: Vec<_> = (1..=10).map(|line| format!("line {line}")).collect();
        let (ten, eight) = (lines.join("\n"), lines[2..].join("\n"));
        let cases = [
            (ten.as_str(), eight.as_str()),
            ("one", "one"),
            ("{\"message\":\"a\",\"level\":\"error\"}\n\n{\"message\":\"b\"}\n", "a\nb"),
            ("{\"message\":\"a\"}\nplain", "{\"message\":\"a\"}\nplain"),
            ("{\"message\":\"a\"}\n{\"msg\":\"b\"}", "{\"message\":\"a\"}\n{\"msg\":\"b\"}"),
            ("{\"message\":1}", "{\"message\":1}"),
        ];
        for (log, expected) in cases {
            assert_eq!(told(log).as_deref(), Some(expected), "{log}");
        }
        for empty in ["", "\n \n", "{\"message\":\"\"}"] {
            assert_eq!(told(empty), None, "{empty}");
        }
    }

    #[test]
    fn of_a_long_log_the_end_is_told() {
        let log = format!("{}\nthe panic", "ä".repeat(MAX_TOLD));
        let told = told(&log).unwrap();
        assert!(told.ends_with("ä\nthe panic") && told.len() <= MAX_TOLD && told.len() > MAX_TOLD - 4);
    }
}
