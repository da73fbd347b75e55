use clap::Args;
use release_client::{Identity, TokenError};
use release_terminal::{CliError, Exit, Printer};
use serde::Serialize;

use crate::{
    login::{self, TOKEN_VARIABLE},
    output::FormatArgs,
};

/// Show who is logged in, as far as this machine knows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl whoami
  hamctl whoami --output json")]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Serialize)]
struct Caller {
    /// `token` or `login`
    by: &'static str,
    #[serde(flatten)]
    identity: Option<Identity>,
}

pub(crate) fn run(printer: &Printer, args: &WhoamiArgs) -> Result<Exit, CliError> {
    let caller = caller()?;
    match (args.format.output, &caller.identity) {
        (Some(format), _) => format.print(printer, &caller)?,
        (None, Some(identity)) => printer.line(login::shown(identity)),
        (None, None) => printer.line(format!("the server knows: the token in {TOKEN_VARIABLE} is used")),
    }
    Ok(Exit::Ok)
}

fn caller() -> Result<Caller, CliError> {
    if login::static_token().is_some() {
        return Ok(Caller { by: "token", identity: None });
    }
    let identity = login::session()?.identity().map_err(|error| login::explain(&error.into()))?;
    match identity {
        Some(identity) => Ok(Caller { by: "login", identity: Some(identity) }),
        None => Err(login::explain(&TokenError::NotLoggedIn)),
    }
}
