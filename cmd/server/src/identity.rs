//! Logging in with tokens of identity providers.

use std::path::Path;

use clap::Args;
use release_identity::{KeysUpdate, Settings, Url, Verifier};

use crate::http::login::Scopes;

#[derive(Args)]
pub(crate) struct IdentityFlags {
    /// Where identity providers publish the keys that they sign tokens with, separated by commas
    #[arg(long, value_name = "URLS", value_delimiter = ',', requires = "jwt_issuer", value_parser = key_set_url)]
    jwks_urls: Vec<Url>,
    /// What tokens of identity providers have to be for (`aud`)
    #[arg(long, default_value = "release-manager", value_name = "AUDIENCE")]
    jwt_audience: String,
    /// Who tokens of identity providers have to be from (`iss`); several are separated by commas
    #[arg(long, value_name = "ISSUERS", value_delimiter = ',', requires = "jwks_urls")]
    jwt_issuer: Vec<String>,
    /// Scope that tokens for hamctl need [default: none, but the token is not a machine's]
    #[arg(long, value_name = "SCOPE")]
    jwt_hamctl_scope: Option<String>,
    /// Scope of the tokens that artifact logs in with
    #[arg(long, default_value = "release_artifact", value_name = "SCOPE")]
    jwt_artifact_scope: String,
    /// Scope of the tokens that daemon logs in with
    #[arg(long, default_value = "release_daemon", value_name = "SCOPE")]
    jwt_daemon_scope: String,
}

impl IdentityFlags {
    /// Whether any identity provider is believed.
    pub(crate) fn are_given(&self) -> bool {
        !self.jwks_urls.is_empty()
    }

    pub(crate) fn scopes(&self) -> Scopes {
        Scopes {
            hamctl: self.jwt_hamctl_scope.clone(),
            artifact: self.jwt_artifact_scope.clone(),
            daemon: self.jwt_daemon_scope.clone(),
        }
    }

    /// `None` without an identity provider.
    pub(crate) fn open(&self, data_dir: &Path) -> anyhow::Result<Option<(Verifier, KeysUpdate)>> {
        if !self.are_given() {
            return Ok(None);
        }
        for url in self.jwks_urls.iter().filter(|url| url.scheme() == "http" && !is_local(url)) {
            tracing::warn!(%url, "keys are fetched without TLS; whoever is on the way can let anybody in");
        }
        let settings = Settings {
            jwks_urls: self.jwks_urls.clone(),
            issuers: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            directory: data_dir.join("identity-provider-keys"),
        };
        Ok(Some(Verifier::new(settings)?))
    }
}

fn is_local(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// It is written to logs, so nothing secret may be in it.
fn key_set_url(text: &str) -> Result<Url, &'static str> {
    let url =
        Url::parse(text.trim()).map_err(|_| "is not a URL; write it like https://idp.example.com/v1/keys")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with https:// (or http://, on a network that nobody else is on)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or password; the keys are public");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Start {
        #[command(flatten)]
        flags: IdentityFlags,
    }

    fn parse(arguments: &[&str]) -> Option<IdentityFlags> {
        Start::try_parse_from(["start"].iter().chain(arguments)).ok().map(|start| start.flags)
    }

    #[test]
    fn without_flags_nobody_is_believed() {
        let directory = tempfile::tempdir().unwrap();
        assert!(parse(&[]).unwrap().open(directory.path()).unwrap().is_none());
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn several_providers_can_be_given() {
        let urls = "https://a.example.com/keys,http://localhost:8081/v1/keys";
        let flags = parse(&["--jwks-urls", urls, "--jwt-issuer=https://a.example.com,b"]).unwrap();
        assert_eq!((flags.jwks_urls.len(), flags.jwt_issuer.len()), (2, 2));
        assert_eq!(flags.jwt_audience, "release-manager");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for arguments in [
            &["--jwks-urls=https://a.example.com/keys"][..],
            &["--jwt-issuer=https://a.example.com"],
            &["--jwks-urls=a.example.com", "--jwt-issuer=a"],
            &["--jwks-urls=file:///etc/passwd", "--jwt-issuer=a"],
            &["--jwks-urls=https://jane:secret@a.example.com", "--jwt-issuer=a"],
            &["--jwks-urls=https://a.example.com,", "--jwt-issuer=a"],
        ] {
            assert!(parse(arguments).is_none(), "{arguments:?}");
        }
    }
}
