//! What every command needs, resolved from flags, environment and `shuttle.yaml`, in that order.

use std::path::Path;

use release_client::{Client, ClientConfig, Credentials, Url, parse_base_url};
use release_core::Person;
use release_telemetry::TraceContext;
use release_terminal::{CliError, Printer};

use crate::{
    args::{GlobalArgs, NamespaceArgs},
    explain::explain,
    git, login,
    shuttle::{self, Shuttle},
};

pub(crate) struct Context<'a> {
    pub(crate) printer: &'a Printer,
    pub(crate) client: Client,
    pub(crate) service: String,
    shuttle: Shuttle,
}

impl<'a> Context<'a> {
    /// Logs in first, where that is needed.
    pub(crate) async fn new(printer: &'a Printer, args: &GlobalArgs) -> Result<Self, CliError> {
        let shuttle = shuttle::read(Path::new(shuttle::FILE_NAME));
        let given = args.service.clone().filter(|service| !service.is_empty());
        let (service, shuttle) = match (given, shuttle) {
            (Some(service), shuttle) => (service, shuttle.unwrap_or_default()),
            (None, Ok(shuttle)) => (shuttle.service.clone().ok_or_else(missing_service)?, shuttle),
            (None, Err(error)) => return Err(missing_service().hint(error)),
        };
        Ok(Self { printer, client: client(args, login::credentials(printer).await?)?, service, shuttle })
    }

    /// Empty for the namespace named like the environment.
    pub(crate) fn namespace(&self, args: &NamespaceArgs) -> String {
        args.namespace.clone().or_else(|| self.shuttle.namespace.clone()).unwrap_or_default()
    }
}

/// A client that is not connected yet.
pub(crate) fn client(args: &GlobalArgs, credentials: Credentials) -> Result<Client, CliError> {
    let config = ClientConfig {
        base_url: base_url(args.http_base_url.as_deref().unwrap_or_default())?,
        timeout: args.http_timeout,
        credentials,
        cli_version: env!("CARGO_PKG_VERSION").to_owned(),
        trace: TraceContext::current_header,
    };
    Client::new(config).map_err(explain)
}

fn base_url(text: &str) -> Result<Url, CliError> {
    const HINT: &str = "set HAMCTL_URL or use --http-base-url, like https://release.example.com";
    if text.is_empty() {
        return Err(CliError::usage("it is not known where the release server is").hint(HINT));
    }
    parse_base_url(text).map_err(|error| CliError::usage(format!("the server's URL {error}")).hint(HINT))
}

/// Who releases, for servers that do not learn it from the token.
pub(crate) async fn committer() -> Person {
    let (name, email) = (variable("HAMCTL_USER_NAME"), variable("HAMCTL_USER_EMAIL"));
    if let (Some(name), Some(email)) = (&name, &email) {
        return Person::new(name, email);
    }
    let (git_name, git_email) = tokio::join!(git::config("user.name"), git::config("user.email"));
    Person::new(&name.or(git_name).unwrap_or_default(), &email.or(git_email).unwrap_or_default())
}

/// An environment variable that is set to nothing is not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn missing_service() -> CliError {
    CliError::usage("the service is missing").hint(
        "name it with --service, with HAMCTL_SERVICE, or as vars.service in a shuttle.yaml in this directory",
    )
}
