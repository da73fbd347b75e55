//! Who calls: a static token, or a person who logs in at an identity provider.

mod page;

use std::{path::PathBuf, sync::Arc};

use etcetera::BaseStrategy as _;
use release_client::{
    Credentials, Identity, ProviderConfig, ProviderError, Secret, Session, TokenError, TokenFile, Url,
    parse_provider_url,
};
use release_terminal::{CliError, Line, Printer, Progress};

use crate::context::variable;

pub(crate) const TOKEN_VARIABLE: &str = "HAMCTL_AUTH_TOKEN";
const PROVIDER_VARIABLE: &str = "HAMCTL_OAUTH_IDP_URL";
const CLIENT_VARIABLE: &str = "HAMCTL_OAUTH_CLIENT_ID";
const SCOPES_VARIABLE: &str = "HAMCTL_OAUTH_SCOPES";
const AUTO_LOGIN_VARIABLE: &str = "HAMCTL_OAUTH_AUTO_LOGIN";

/// The last one asks for a refresh token.
const SCOPES: &str = "openid profile email offline_access";
const NEW_DIRECTORY: &str = "release-manager";
/// Below the home directory, of older versions.
const OLDER_FILE: &str = ".Config/release-manager/token.json";

/// Asks for a login where there is none and nobody opted out of that.
pub(crate) async fn credentials(printer: &Printer) -> Result<Credentials, CliError> {
    if let Some(token) = static_token() {
        return Ok(Credentials::Token(token));
    }
    let Some(session) = configured_session()? else { return Ok(Credentials::None) };
    match session.token().await {
        Err(TokenError::NotLoggedIn) if auto_login() => {
            let identity = log_in(printer, &session, false).await?;
            printer.note(logged_in(&identity));
        }
        result => drop(result.map_err(|error| explain(&error))?),
    }
    Ok(Credentials::Person(Arc::new(session)))
}

/// Without asking anybody, person or provider.
pub(crate) fn known_credentials() -> Credentials {
    let saved = || configured_session().ok()??.saved_token();
    static_token().or_else(saved).into()
}

/// A session with the provider that the environment names.
pub(crate) fn session() -> Result<Session, CliError> {
    let missing =
        || CliError::usage("it is not known where to log in").hint(format!("set {PROVIDER_VARIABLE}"));
    configured_session()?.ok_or_else(missing)
}

/// Shows the page to confirm the login on, and waits for the person.
pub(crate) async fn log_in(printer: &Printer, session: &Session, qr: bool) -> Result<Identity, CliError> {
    let login = session.start_login().await.map_err(|error| explain(&error.into()))?;
    page::show(printer, &login, qr);
    let progress = Progress::start(printer, "Waiting for you to confirm the login …");
    let trouble = |error: &ProviderError| progress.update(&format!("{error}; still trying"));
    let result = session.finish_login(&login, trouble).await;
    drop(progress);
    result.map_err(|error| explain(&error))
}

pub(crate) fn logged_in(identity: &Identity) -> Line {
    Line::new().good("Logged in").plain(" as ").strong(shown(identity))
}

/// `Jane Doe <jane@example.com>`, as far as it is known.
pub(crate) fn shown(identity: &Identity) -> String {
    let name = if identity.name.is_empty() { &identity.subject } else { &identity.name };
    match (name.as_str(), identity.email.as_str()) {
        ("", "") => "somebody whom the provider does not name".to_owned(),
        ("", text) | (text, "") => text.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    }
}

pub(crate) fn static_token() -> Option<Secret> {
    variable(TOKEN_VARIABLE).map(Secret::new)
}

/// What to do when the server does not accept the token.
pub(crate) fn hint() -> String {
    if static_token().is_none() && variable(PROVIDER_VARIABLE).is_some() {
        return "log in again with 'hamctl login'".to_owned();
    }
    format!("set {TOKEN_VARIABLE} to a token that the server accepts")
}

pub(crate) fn explain(error: &TokenError) -> CliError {
    let report = CliError::failed(error.to_string());
    match explain_token(error) {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

/// What to do when there is no token.
pub(crate) fn explain_token(error: &TokenError) -> Option<String> {
    Some(match error {
        TokenError::NotLoggedIn => format!("log in with 'hamctl login', or set {TOKEN_VARIABLE}"),
        TokenError::File(_) => {
            "see that you may read and write it, or remove it and log in with 'hamctl login'".to_owned()
        }
        TokenError::Provider(error) => match error {
            ProviderError::Denied | ProviderError::CodeExpired => "try again with 'hamctl login'".to_owned(),
            ProviderError::Refused { .. } => {
                format!("check {CLIENT_VARIABLE} and {SCOPES_VARIABLE} with the people who run the provider")
            }
            ProviderError::Unavailable { .. } | ProviderError::Interrupted { .. } => {
                "try again in a moment".to_owned()
            }
            ProviderError::Setup { .. } => return None,
            _ => format!("check {PROVIDER_VARIABLE}, your network and VPN"),
        },
    })
}

/// `None` where no provider is set.
fn configured_session() -> Result<Option<Session>, CliError> {
    let Some(url) = variable(PROVIDER_VARIABLE) else { return Ok(None) };
    let client_id = variable(CLIENT_VARIABLE).ok_or_else(|| {
        CliError::usage("it is not known as what to log in").hint(format!("set {CLIENT_VARIABLE}"))
    })?;
    let scopes = variable(SCOPES_VARIABLE).unwrap_or_else(|| SCOPES.to_owned());
    let config = ProviderConfig {
        url: provider_url(&url)?,
        client_id,
        client_secret: None,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
    };
    Ok(Some(Session::new(config, token_file()?)))
}

fn provider_url(text: &str) -> Result<Url, CliError> {
    parse_provider_url(text).map_err(|error| CliError::usage(format!("{PROVIDER_VARIABLE} {error}")))
}

fn token_file() -> Result<TokenFile, CliError> {
    let directories = etcetera::choose_base_strategy()
        .map_err(|error| CliError::failed(format!("there is no place to keep a login: {error}")))?;
    let path: PathBuf = directories.config_dir().join(NEW_DIRECTORY).join("token.json");
    Ok(TokenFile::new(path, Some(directories.home_dir().join(OLDER_FILE))))
}

/// Everything that Go takes for false.
fn auto_login() -> bool {
    let value = variable(AUTO_LOGIN_VARIABLE).unwrap_or_default();
    !["false", "f", "0"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_shown_by_what_is_known() {
        let cases = [
            ("jane", "Jane Doe", "jane@example.com", "Jane Doe <jane@example.com>"),
            ("jane", "", "jane@example.com", "jane <jane@example.com>"),
            ("jane", "", "", "jane"),
            ("", "", "jane@example.com", "jane@example.com"),
            ("", "", "", "somebody whom the provider does not name"),
        ];
        for (subject, name, email, expected) in cases {
            let identity = Identity { subject: subject.into(), name: name.into(), email: email.into() };
            assert_eq!(shown(&identity), expected);
        }
    }
}
