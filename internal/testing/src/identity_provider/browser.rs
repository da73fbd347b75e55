//! Somebody with a browser, as far as the pages of the provider need one.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;
use reqwest::{
    RequestBuilder, Response,
    header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
};
use url::{Url, form_urlencoded};

/// Code, login and consent, with a redirect between all of them.
const MOST_PAGES: usize = 20;

static ACTION: LazyLock<Regex> = LazyLock::new(|| regex(r#"<form[^>]*action="([^"]+)""#));
static INPUT: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"<input[^>]*name="([^"]+)"(?:[^>]*value="([^"]*)")?"#));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Decision<'a> {
    /// Logs in under this name, with any password.
    Approve(&'a str),
    Deny,
}

pub(super) struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// The client must not follow redirects: there are cookies on the way.
    pub(super) fn new(http: reqwest::Client) -> Self {
        Self { http, cookies: BTreeMap::new() }
    }

    /// Fills in every form until there is a page without one.
    pub(super) async fn visit(mut self, page: &str, decision: Decision<'_>) {
        let mut response = self.send(self.http.get(page)).await;
        for _ in 0..MOST_PAGES {
            if let Some(location) = response.headers().get(LOCATION) {
                let location = location.to_str().expect("a URL");
                let url = response.url().join(location).expect("a URL");
                response = self.send(self.http.get(url)).await;
                continue;
            }
            let url = response.url().clone();
            let html = response.text().await.expect("a page");
            let Some(form) = ACTION.captures(&html) else {
                return assert_ended_as(decision, &html);
            };
            let action = url.join(&form[1]).expect("a URL");
            response = self.send(self.submission(action, &html, decision)).await;
        }
        panic!("{MOST_PAGES} pages, and still no end");
    }

    fn submission(&self, action: Url, html: &str, decision: Decision<'_>) -> RequestBuilder {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for input in INPUT.captures_iter(html) {
            let given = input.get(2).map_or("", |value| value.as_str());
            let value = match (&input[1], decision) {
                ("login", Decision::Approve(person)) => person,
                ("password", _) => "any",
                _ => given,
            };
            form.append_pair(&input[1], value);
        }
        if matches!(decision, Decision::Deny) && html.contains(r#"name="abort""#) {
            form.append_pair("abort", "yes");
        }
        let request = self.http.post(action).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(form.finish())
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.expect("an answer");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("a cookie").split(';').next().expect("it is never empty");
            let (name, value) = cookie.split_once('=').expect("name=value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}

fn assert_ended_as(decision: Decision<'_>, html: &str) {
    let expected = match decision {
        Decision::Approve(_) => "Sign-in Success",
        Decision::Deny => "The Sign-in request was interrupted",
    };
    assert!(html.contains(expected), "not {expected}: {html}");
}
