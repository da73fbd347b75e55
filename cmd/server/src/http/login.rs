//! Who calls: static tokens, and tokens of identity providers beside them.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use release_identity::{Identity, MAX_TOKEN_BYTES, Refusal, Verifier};
use release_telemetry::Metrics;
use tracing::Span;

use super::{
    access::{self, Caller, Login, NotForThese},
    auth::{Audience, Tokens},
    error::ApiError,
};

/// The scopes that say what a token of an identity provider is for.
#[derive(Debug, Clone)]
pub(crate) struct Scopes {
    /// `None`: every person's token. A machine could otherwise leave out its scope to become hamctl.
    pub(crate) hamctl: Option<String>,
    pub(crate) artifact: String,
    pub(crate) daemon: String,
}

impl Scopes {
    fn audiences(&self, identity: &Identity) -> Vec<Audience> {
        let has = |scope| identity.scopes.contains(scope);
        let is_for_a_machine = identity.is_machine || has(&self.artifact) || has(&self.daemon);
        Audience::ALL
            .into_iter()
            .filter(|audience| match audience {
                Audience::Hamctl => self.hamctl.as_ref().map_or(!is_for_a_machine, has),
                Audience::Artifact => has(&self.artifact),
                Audience::Daemon => has(&self.daemon),
            })
            .collect()
    }
}

/// Why somebody is not let in: for the log and a metric, never for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("There is no bearer token.")]
    NoToken,
    #[error("Nobody has this token.")]
    UnknownToken,
    #[error("The token is refused: {0}.")]
    Jwt(Refusal),
    #[error("The token is refused: {0}.")]
    Access(NotForThese),
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::NoToken => "missing",
            Self::UnknownToken => "unknown",
            Self::Jwt(refusal) => refusal.label(),
            Self::Access(_) => "access",
        }
    }
}

/// All ways to log in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logins {
    pub(crate) tokens: Tokens,
    /// `None`: no identity provider is believed.
    pub(crate) jwt: Option<(Verifier, Scopes)>,
    pub(crate) metrics: Metrics,
}

impl Logins {
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let token = bearer(headers).ok_or(Refused::NoToken)?;
        // Hashing is for static tokens, which are short.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::Jwt(Refusal::TooLong));
        }
        let audiences = self.tokens.audiences(token);
        if !audiences.is_empty() {
            return Ok(Caller { login: Login::StaticToken, audiences });
        }
        match &self.jwt {
            Some((verifier, scopes)) if token.contains('.') => {
                let identity = verifier.verify(token).await.map_err(Refused::Jwt)?;
                let audiences = scopes.audiences(&identity);
                Ok(Caller { login: Login::Subject(identity.subject.into()), audiences })
            }
            _ => Err(Refused::UnknownToken),
        }
    }

    async fn admit(&self, headers: &HeaderMap, endpoints: Audience) -> Result<Caller, Refused> {
        let caller = self.caller(headers).await?;
        Span::current()
            .record("caller", tracing::field::display(&caller))
            .record("login", caller.login.kind());
        access::may_use(&caller, endpoints).map_err(Refused::Access)?;
        Ok(caller)
    }
}

/// Layer: lets requests pass that may use these endpoints, and tells them who calls.
pub(super) async fn require(
    State((logins, endpoints)): State<(Logins, Audience)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match logins.admit(request.headers(), endpoints).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(caller);
            Ok(response)
        }
        Err(refused) => {
            logins.metrics.count_refused_login(refused.label());
            Err(ApiError::Unauthorized(refused))
        }
    }
}

/// The token of `Authorization: Bearer <token>`; the scheme's name is in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_the_standard_says() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER  abc ", Some("abc")),
            ("Bearer", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ];
        for (value, token) in cases {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn scopes_say_what_a_token_is_for() {
        use Audience::{Artifact, Daemon, Hamctl};
        let any =
            Scopes { hamctl: None, artifact: "release_artifact".into(), daemon: "release_daemon".into() };
        let own = Scopes { hamctl: Some("release".into()), ..any.clone() };
        for (granted, is_machine, with_any, with_own) in [
            (&[][..], false, &[Hamctl][..], &[][..]),
            (&[], true, &[], &[]),
            (&["openid", "profile"], false, &[Hamctl], &[]),
            (&["openid", "release"], false, &[Hamctl], &[Hamctl]),
            (&["release"], true, &[], &[Hamctl]),
            (&["RELEASE_ARTIFACT", "release_artifact_x"], false, &[Hamctl], &[]),
            (&["release_artifact"], true, &[Artifact], &[Artifact]),
            (&["release_artifact"], false, &[Artifact], &[Artifact]),
            (&["openid", "release_daemon"], true, &[Daemon], &[Daemon]),
            (&["release_daemon", "release_artifact"], true, &[Artifact, Daemon], &[Artifact, Daemon]),
        ] {
            let scopes = granted.iter().map(|scope| (*scope).to_owned()).collect();
            let identity = Identity { subject: "x".into(), scopes, is_machine };
            assert_eq!(any.audiences(&identity), with_any, "{identity:?}");
            assert_eq!(own.audiences(&identity), with_own, "{identity:?}");
        }
    }
}
