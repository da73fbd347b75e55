//! What a person can do about an error of the client.

use release_client::ClientError;
use release_terminal::CliError;

use crate::login::{self, TOKEN_VARIABLE};

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn explain(error: ClientError) -> CliError {
    let report = CliError::failed(error.to_string());
    let report = match error.request_id() {
        Some(id) => report.reference(id),
        None => report,
    };
    match hint(&error) {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

/// The same for a request to release, which may have been accepted although it failed.
pub(crate) fn explain_release(error: ClientError) -> CliError {
    let is_ambiguous = error.is_ambiguous();
    let report = explain(error);
    if is_ambiguous {
        return report.hint("the release may have been accepted; look at hamctl status before you try again");
    }
    report
}

fn hint(error: &ClientError) -> Option<String> {
    Some(match error {
        ClientError::Unauthorized { .. } => login::hint(),
        ClientError::NoToken(error) => return login::explain_token(error),
        ClientError::Unreachable { .. } => {
            "check HAMCTL_URL or --http-base-url, your network and VPN".to_owned()
        }
        ClientError::NotTheServer { .. } | ClientError::Redirected { .. } => {
            "check HAMCTL_URL or --http-base-url; a proxy or login page may be in between".to_owned()
        }
        ClientError::Setup { .. } => {
            format!("if {TOKEN_VARIABLE} is set, see that there is nothing but the token in it")
        }
        ClientError::TimedOut { .. } => "try again, or give it longer with --http-timeout".to_owned(),
        ClientError::ServerFailed { status: 503, .. } => "try again in a moment".to_owned(),
        ClientError::ServerFailed { .. } => {
            "tell the people who run the server, with the reference".to_owned()
        }
        ClientError::Unreadable { .. } => "this hamctl and the server may be too far apart in age".to_owned(),
        _ => return None,
    })
}
