use std::time::Duration;

use reqwest::Url;

use crate::Credentials;

/// How to reach the server and who calls.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// From [`parse_base_url`].
    pub base_url: Url,
    /// The longest that one attempt may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
    pub credentials: Credentials,
    /// The calling program's version, for the server's logs.
    pub cli_version: String,
    /// The trace that calls belong to: the value of W3C's header `traceparent` at the moment of the call.
    pub trace: fn() -> Option<String>,
}

/// Why a text is no base URL of a server. It may hold a password, so the text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    #[error("is not a URL; write it like https://release.example.com")]
    NotAUrl,
    #[error("must begin with http:// or https://")]
    Scheme,
    #[error("must not have a user name or password; give a token instead")]
    Credentials,
}

/// Reads a server's base URL. A path in it is kept, for servers behind a proxy.
pub fn parse_base_url(text: &str) -> Result<Url, BaseUrlError> {
    let mut url = Url::parse(text.trim()).map_err(|_| BaseUrlError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BaseUrlError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BaseUrlError::Credentials);
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use release_core::Secret;

    use super::*;

    #[test]
    fn base_urls_are_checked_and_reduced() {
        let cases = [
            ("https://r.example.com", Ok("https://r.example.com/")),
            (" http://localhost:8080/release/?x=1#y ", Ok("http://localhost:8080/release/")),
            ("r.example.com", Err(BaseUrlError::NotAUrl)),
            ("localhost:8080", Err(BaseUrlError::Scheme)),
            ("file:///etc", Err(BaseUrlError::Scheme)),
            ("https://jane:secret@r.example.com", Err(BaseUrlError::Credentials)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_base_url(text).as_ref().map(Url::as_str), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = ClientConfig {
            base_url: parse_base_url("http://x").unwrap(),
            timeout: Duration::from_secs(1),
            credentials: Credentials::Token(Secret::new("hunter2")),
            cli_version: "1".into(),
            trace: || None,
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
