//! Annotations, so that graphs show when something was released.
//! <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>

use release_core::Secret;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{DeliveryError, http};

const GRAFANA: &str = "Grafana";

/// The Grafana that gets the annotations of one environment.
#[derive(Debug, Clone)]
pub struct GrafanaConfig {
    pub environment: String,
    pub api_key: Secret,
    pub base_url: Url,
}

/// An annotation in the form of Graphite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    pub environment: String,
    pub what: String,
    pub tags: Vec<String>,
    pub data: String,
    /// Unix seconds. It is right also when it is delivered late.
    pub when: i64,
}

pub(crate) async fn annotate(
    http: &reqwest::Client,
    config: &GrafanaConfig,
    annotation: &Annotation,
) -> Result<(), DeliveryError> {
    let Annotation { what, tags, data, when, .. } = annotation;
    let mut url = config.base_url.clone();
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend([
        "api",
        "annotations",
        "graphite",
    ]);
    let request = http
        .post(url)
        .bearer_auth(config.api_key.expose())
        .json(&json!({ "what": what, "tags": tags, "data": data, "when": when }));
    let answer = http::send(GRAFANA, request).await?;
    match answer.status {
        status if status.is_success() => Ok(()),
        // All of this environment's annotations are concerned until somebody gives another key.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(http::unavailable(http::describe(GRAFANA, &answer)))
        }
        _ => Err(DeliveryError::Refused(http::describe(GRAFANA, &answer))),
    }
}
