use clap::Args;
use release_client::TokenError;
use release_terminal::{CliError, Exit, Printer};

use crate::login;

/// Forget the login, on this machine and at the identity provider.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hamctl logout")]
pub(crate) struct LogoutArgs {}

pub(crate) async fn run(printer: &Printer, _: &LogoutArgs) -> Result<Exit, CliError> {
    match login::session()?.logout().await {
        // Nothing is left here; there, it ends by itself.
        Err(TokenError::Provider(error)) => printer.warn(format!("the provider was not told: {error}")),
        result => result.map_err(|error| login::explain(&error))?,
    }
    printer.line("Logged out");
    Ok(Exit::Ok)
}
