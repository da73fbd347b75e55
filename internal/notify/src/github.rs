//! A tag for each environment in the source repository, on what was released there last.
//! <https://docs.github.com/en/rest/git/refs>

use release_core::Secret;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{DeliveryError, http, http::Answer};

const GITHUB: &str = "GitHub";

#[derive(Debug, Clone)]
pub struct GithubConfig {
    pub token: Secret,
    /// `https://api.github.com`, or `https://<host>/api/v3` of a GitHub Enterprise.
    pub api_url: Url,
    /// The organisation that has the source repositories.
    pub owner: String,
}

/// The tag `name` of a repository is to be on this commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub repository: String,
    pub name: String,
    pub sha: String,
}

/// Creates the tag or moves it. Doing it again changes nothing.
pub(crate) async fn set_tag(
    http: &reqwest::Client,
    config: &GithubConfig,
    tag: &Tag,
) -> Result<(), DeliveryError> {
    let Tag { repository, name, sha } = tag;
    let create = json!({ "ref": format!("refs/tags/{name}"), "sha": sha });
    let answer = send(config, http, Method::POST, &[repository, "git", "refs"], &create).await?;
    if answer.status != StatusCode::UNPROCESSABLE_ENTITY {
        return outcome(&answer);
    }
    let path = [repository, "git", "refs", "tags", name.as_str()];
    let answer = send(config, http, Method::PATCH, &path, &json!({ "sha": sha, "force": true })).await?;
    outcome(&answer)
}

async fn send(
    config: &GithubConfig,
    http: &reqwest::Client,
    method: Method,
    path: &[&str],
    body: &serde_json::Value,
) -> Result<Answer, DeliveryError> {
    let mut url = config.api_url.clone();
    let repository = ["repos", &config.owner];
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(repository).extend(path);
    let request: RequestBuilder = http
        .request(method, url)
        .bearer_auth(config.token.expose())
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        .json(body);
    http::send(GITHUB, request).await
}

fn outcome(answer: &Answer) -> Result<(), DeliveryError> {
    match answer.status {
        status if status.is_success() => Ok(()),
        // All repositories are concerned until somebody gives another token.
        StatusCode::UNAUTHORIZED => Err(http::unavailable(http::describe(GITHUB, answer))),
        _ => Err(DeliveryError::Refused(http::describe(GITHUB, answer))),
    }
}
