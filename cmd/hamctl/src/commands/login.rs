use clap::Args;
use release_terminal::{CliError, Exit, Printer};

use crate::login;

/// Log in with your browser, on this or another device.
#[derive(Debug, Args)]
#[command(after_help = "\
Other commands log in by themselves when it is needed, unless HAMCTL_OAUTH_AUTO_LOGIN=false.

Environment variables:
  HAMCTL_OAUTH_IDP_URL     the identity provider's URL
  HAMCTL_OAUTH_CLIENT_ID   what hamctl is called there
  HAMCTL_OAUTH_SCOPES      what to ask for [default: openid profile email offline_access]
  HAMCTL_OAUTH_AUTO_LOGIN  false: only this command logs in

Example:
  hamctl login --qr")]
pub(crate) struct LoginArgs {
    /// Also show the page as a QR code, for a phone.
    #[arg(long)]
    qr: bool,
}

pub(crate) async fn run(printer: &Printer, args: &LoginArgs) -> Result<Exit, CliError> {
    let identity = login::log_in(printer, &login::session()?, args.qr).await?;
    printer.line(login::logged_in(&identity));
    if login::static_token().is_some() {
        printer.warn(format!("{} is set and goes first", login::TOKEN_VARIABLE));
    }
    Ok(Exit::Ok)
}
