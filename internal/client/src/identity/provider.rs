//! The identity provider's endpoints, and one request to them.

use std::{fmt::Display, time::Duration};

use futures::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, DeviceAuthorizationUrl, EndpointNotSet, EndpointSet,
    ErrorResponseType, HttpRequest, HttpResponse, RefreshToken, RequestTokenError, Scope,
    StandardErrorResponse, StandardRevocableToken, StandardTokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
    http,
};
use release_core::Secret;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::token::{IdToken, Token};
use crate::{
    BaseUrlError,
    call::{http_client, read_bounded, shown},
    error::root_cause,
    parse_base_url,
};

/// The longest that a provider may think about one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Discovery documents of large providers have some 10 KiB.
const MAX_ANSWER: usize = 1024 * 1024;
const SHOWN_DESCRIPTION: usize = 300;

/// Where to log in, and as what.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// From [`parse_provider_url`].
    pub url: Url,
    pub client_id: String,
    /// `None` for programs that cannot keep one, such as those on laptops.
    pub client_secret: Option<Secret>,
    pub scopes: Vec<String>,
}

/// Why a login, or a new token, did not come about. Nothing in it is secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    #[error("the identity provider cannot be called: {cause}")]
    Setup { cause: String },
    #[error("the identity provider at {url} cannot be reached: {cause}")]
    Unreachable { url: String, cause: String },
    #[error("the identity provider at {url} did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut { url: String },
    #[error("the connection to the identity provider at {url} broke before the answer was complete: {cause}")]
    Interrupted { url: String, cause: String },
    #[error("the identity provider at {url} has trouble: it answered {status}")]
    Unavailable { url: String, status: u16 },
    #[error("{url} answered with something that is not from an identity provider")]
    NotAProvider { url: String },
    #[error("the identity provider names an endpoint at {url}, which is not https")]
    InsecureEndpoint { url: String },
    /// The provider understood and said no; `code` is as in RFC 6749.
    #[error("the identity provider refused with {code}{}", described(.description.as_deref()))]
    Refused { code: String, description: Option<String> },
    #[error("the login was denied")]
    Denied,
    #[error("the code was not confirmed in time")]
    CodeExpired,
}

impl ProviderError {
    /// The same may work in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Interrupted { .. }
                | Self::Unavailable { .. }
        )
    }
}

fn described(description: Option<&str>) -> String {
    description.map(|text| format!(": {text}")).unwrap_or_default()
}

/// Why a text is no URL of an identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProviderUrlError {
    #[error(transparent)]
    Url(#[from] BaseUrlError),
    #[error("must begin with https://, because secrets are sent there")]
    Insecure,
}

/// Reads a provider's URL: https, or on this machine.
pub fn parse_provider_url(text: &str) -> Result<Url, ProviderUrlError> {
    let url = parse_base_url(text)?;
    if is_private(&url) { Ok(url) } else { Err(ProviderUrlError::Insecure) }
}

/// Nobody on the way can read along.
fn is_private(url: &Url) -> bool {
    let is_here = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || is_here
}

/// The endpoints for codes and tokens are known once `E` is [`EndpointSet`].
type OAuthClient<E = EndpointSet> = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    E,
    EndpointNotSet,
    EndpointNotSet,
    E,
>;

/// A provider whose endpoints are known.
#[derive(Debug)]
pub(super) struct Provider {
    http: reqwest::Client,
    url: String,
    scopes: Vec<Scope>,
    revocation_url: Option<Url>,
    pub(super) oauth: OAuthClient,
}

/// What is used of `/.well-known/openid-configuration`.
#[derive(Debug, Deserialize)]
struct Discovered {
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

impl Provider {
    /// Asks the provider for its endpoints; one that does not tell has those of the field.
    pub(super) async fn discover(config: &ProviderConfig) -> Result<Self, ProviderError> {
        let http = http_client(TIMEOUT).map_err(|error| ProviderError::Setup { cause: error.to_string() })?;
        let discovered = discover(&http, &config.url).await?;
        let endpoint = |known: Option<&String>, default: &str| match known {
            Some(url) => checked(url),
            None => Ok(below(&config.url, default)),
        };
        let discovered = discovered.as_ref();
        let token_url = endpoint(discovered.map(|found| &found.token_endpoint), "v1/token")?;
        let device_url = discovered.and_then(|found| found.device_authorization_endpoint.as_ref());
        let device_url = endpoint(device_url, "v1/device/authorize")?;
        let revocation_url = discovered.and_then(|found| found.revocation_endpoint.as_ref());
        let mut oauth = OAuthClient::<EndpointNotSet>::new(ClientId::new(config.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(token_url))
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(device_url));
        if let Some(secret) = &config.client_secret {
            oauth = oauth.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        if discovered.is_some_and(Discovered::wants_secret_in_body) {
            oauth = oauth.set_auth_type(AuthType::RequestBody);
        }
        Ok(Self {
            http,
            url: shown(&config.url),
            scopes: config.scopes.iter().cloned().map(Scope::new).collect(),
            revocation_url: revocation_url.map(|url| checked(url)).transpose()?,
            oauth,
        })
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> + use<> {
        self.scopes.clone().into_iter()
    }

    /// A token for the program itself.
    pub(super) async fn machine_token(&self) -> Result<Token, ProviderError> {
        let request = self.oauth.exchange_client_credentials().add_scopes(self.scopes());
        let answer = request.request_async(self).await;
        answer.map(|answer| Token::received(&answer)).map_err(|error| self.refusal(error))
    }

    pub(super) async fn refresh(&self, token: &Secret) -> Result<Token, ProviderError> {
        let token = RefreshToken::new(token.expose().to_owned());
        let request = self.oauth.exchange_refresh_token(&token);
        let answer = request.request_async(self).await;
        answer.map(|answer| Token::received(&answer)).map_err(|error| self.refusal(error))
    }

    /// Tells the provider that nobody will use this refresh token any more; does nothing where the
    /// provider does not offer it.
    pub(super) async fn revoke(&self, token: &Secret) -> Result<(), ProviderError> {
        let Some(url) = &self.revocation_url else { return Ok(()) };
        let form = [("token", token.expose()), ("client_id", self.oauth.client_id())];
        let body = oauth2::url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = http::Request::post(url.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .expect("the URL was parsed");
        match self.send(request).await?.status() {
            StatusCode::OK => Ok(()),
            status => Err(ProviderError::Unavailable { url: self.url.clone(), status: status.as_u16() }),
        }
    }

    /// Trouble of the provider is an error here, so that who asks repeatedly goes on.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ProviderError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| ProviderError::Setup { cause: root_cause(&error) })?;
        let answer = execute(&self.http, request).await?;
        if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(ProviderError::Unavailable {
                url: self.url.clone(),
                status: answer.status().as_u16(),
            });
        }
        Ok(answer)
    }

    pub(super) fn refusal<T: ErrorResponseType + Display + AsRef<str> + 'static>(
        &self,
        error: RequestTokenError<ProviderError, StandardErrorResponse<T>>,
    ) -> ProviderError {
        match error {
            RequestTokenError::Request(error) => error,
            RequestTokenError::ServerResponse(answer) => {
                let shorten = |text: &String| text.chars().take(SHOWN_DESCRIPTION).collect();
                let description = answer.error_description().map(shorten);
                ProviderError::Refused { code: shorten(&answer.error().as_ref().to_owned()), description }
            }
            // What cannot be read may be half a token, so it is not shown.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                ProviderError::NotAProvider { url: self.url.clone() }
            }
        }
    }
}

/// A closure would do, but futures with it cannot be sent to another thread.
impl<'c> AsyncHttpClient<'c> for Provider {
    type Error = ProviderError;
    type Future = BoxFuture<'c, Result<HttpResponse, ProviderError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Discovered {
    fn wants_secret_in_body(&self) -> bool {
        let offers = |method: &str| self.token_endpoint_auth_methods_supported.iter().any(|it| it == method);
        offers("client_secret_post") && !offers("client_secret_basic")
    }
}

/// `None` when the provider does not offer discovery.
async fn discover(http: &reqwest::Client, url: &Url) -> Result<Option<Discovered>, ProviderError> {
    let request = reqwest::Request::new(reqwest::Method::GET, below(url, ".well-known/openid-configuration"));
    let answer = execute(http, request).await?;
    if answer.status() != StatusCode::OK {
        return Ok(None);
    }
    Ok(serde_json::from_slice(answer.body()).ok())
}

async fn execute(
    http: &reqwest::Client,
    mut request: reqwest::Request,
) -> Result<HttpResponse, ProviderError> {
    let url = shown(request.url());
    let failed = |error: reqwest::Error| transport_error(&error, url.clone());
    *request.timeout_mut() = Some(TIMEOUT);
    let answer = http.execute(request).await.map_err(failed)?;
    let mut head = http::Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get(http::header::CONTENT_TYPE) {
        head = head.header(http::header::CONTENT_TYPE, kind);
    }
    let body = read_bounded(answer, MAX_ANSWER).await.map_err(failed)?;
    let body = body.ok_or_else(|| ProviderError::NotAProvider { url: url.clone() })?;
    Ok(head.body(body).expect("status and header were received"))
}

fn transport_error(error: &reqwest::Error, url: String) -> ProviderError {
    let cause = root_cause(error);
    if error.is_timeout() {
        ProviderError::TimedOut { url }
    } else if error.is_connect() {
        ProviderError::Unreachable { url, cause }
    } else if error.is_builder() {
        ProviderError::Setup { cause }
    } else {
        ProviderError::Interrupted { url, cause }
    }
}

fn checked(text: &str) -> Result<Url, ProviderError> {
    let url = Url::parse(text).map_err(|_| ProviderError::NotAProvider { url: text.to_owned() })?;
    if is_private(&url) { Ok(url) } else { Err(ProviderError::InsecureEndpoint { url: shown(&url) }) }
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path.split('/'));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_only_go_where_nobody_reads_along() {
        let cases = [
            ("https://idp.example.com/oauth2/default", true),
            ("http://idp.example.com", false),
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080", true),
            ("http://[::1]:8080", true),
            ("http://127.0.0.1.example.com", false),
            ("idp.example.com", false),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_provider_url(text).is_ok(), expected, "{text}");
        }
        assert!(matches!(
            checked("http://evil.example.com/token"),
            Err(ProviderError::InsecureEndpoint { .. })
        ));
    }

    #[test]
    fn the_fields_endpoints_are_below_the_whole_url() {
        let url = parse_provider_url("https://idp.example.com/oauth2/default/").unwrap();
        assert_eq!(below(&url, "v1/token").as_str(), "https://idp.example.com/oauth2/default/v1/token");
    }
}
