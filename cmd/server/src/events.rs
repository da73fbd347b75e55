//! `server events`: a thin client of a running server.

use std::{fs, io::ErrorKind, path::PathBuf, time::Duration};

use chrono::SecondsFormat;
use clap::{Args, Subcommand, ValueEnum};
use release_api::v1::{EventsResponse, QueuedEvent};
use release_client::{Client, ClientConfig, ClientError, Secret};
use release_core::{Event, rollout::Report};
use release_terminal::{CliError, Line, Printer, Table};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::{cli::VERSION, flags::default_data_dir, http::auth::Audience, tokens};

/// No `Debug`: some of these are secrets.
#[derive(Args)]
pub(crate) struct EventsFlags {
    #[command(subcommand)]
    command: EventsCommand,
    /// The server
    #[arg(
        long, global = true, env = "HAMCTL_URL", default_value = "http://localhost:8080",
        value_parser = release_client::parse_base_url
    )]
    http_base_url: Url,
    /// How long one request may take
    #[arg(long, global = true, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    http_timeout: Duration,
    /// Token of hamctl; the first of several [default: the one that the server generated in its data directory]
    #[arg(long, global = true, env = "HAMCTL_AUTH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    hamctl_auth_token: Option<String>,
    /// The server's data directory, where it is not the default one
    #[arg(long, global = true, env = "DATA_DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum EventsCommand {
    /// List the events that wait and those that failed for good
    List {
        /// As a table or for programs
        #[arg(long, short, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Put failed events back into the queue
    Retry {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<Uuid>,
    },
    /// Forget failed events
    Drop {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<Uuid>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(crate) async fn run(flags: EventsFlags, printer: &Printer) -> Result<(), CliError> {
    let client = Client::new(ClientConfig {
        base_url: flags.http_base_url.clone(),
        timeout: flags.http_timeout,
        credentials: token(&flags)?.into(),
        cli_version: VERSION.to_owned(),
        trace: || None,
    })
    .map_err(|error| told(&error))?;
    match flags.command {
        EventsCommand::List { output } => {
            let events = client.events().await.map_err(|error| told(&error))?;
            list(printer, &events, output);
            Ok(())
        }
        EventsCommand::Retry { ids } => {
            for_each(printer, &ids, "is in the queue again", |id| client.retry_event(id)).await
        }
        EventsCommand::Drop { ids } => {
            for_each(printer, &ids, "is forgotten", |id| client.drop_event(id)).await
        }
    }
}

fn list(printer: &Printer, events: &EventsResponse, output: Output) {
    match output {
        Output::Json => {
            let json = serde_json::to_string_pretty(events).expect("events are JSON already");
            printer.document(&format!("{json}\n"));
        }
        Output::Table if events.pending.is_empty() && events.dead.is_empty() => {
            printer.line("No event waits and none has failed");
        }
        Output::Table => printer.table(&table(events)),
    }
}

/// The given token, else the one that a server on this machine generated.
fn token(flags: &EventsFlags) -> Result<Option<Secret>, CliError> {
    let given = flags.hamctl_auth_token.as_deref().unwrap_or_default();
    if let Some(first) = given.split(',').map(str::trim).find(|token| !token.is_empty()) {
        return Ok(Some(Secret::new(first)));
    }
    let data_dir = flags.data_dir.clone().unwrap_or_else(default_data_dir);
    let path = tokens::path(&data_dir, Audience::Hamctl);
    match fs::read_to_string(&path) {
        Ok(token) => Ok(Some(Secret::new(token.trim()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::failed(format!("the token in {} cannot be read: {error}", path.display())))
        }
    }
}

/// Every event is tried, also after one that did not work.
async fn for_each<F: Future<Output = Result<(), ClientError>>>(
    printer: &Printer,
    ids: &[Uuid],
    done: &str,
    work: impl Fn(Uuid) -> F,
) -> Result<(), CliError> {
    let mut result = Ok(());
    for &id in ids {
        match work(id).await {
            Ok(()) => printer.line(Line::new().good("[✓]").plain(format!(" Event {id} {done}"))),
            Err(error) => {
                let error = told(&error);
                printer.line(Line::new().bad("[X]").plain(format!(" {}", error.sentence_with_reference())));
                result = Err(CliError::failed("not every event could be changed"));
            }
        }
    }
    result
}

fn told(error: &ClientError) -> CliError {
    let told = CliError::failed(error.to_string());
    let told = match error {
        ClientError::Unauthorized { .. } => {
            told.hint("give a token with --hamctl-auth-token, or the server's directory with --data-dir")
        }
        ClientError::Unreachable { .. } => told.hint("give the server's address with --http-base-url"),
        _ => told,
    };
    match error.request_id() {
        Some(id) => told.reference(id),
        None => told,
    }
}

fn table(events: &EventsResponse) -> Table {
    let mut table = Table::new().header(["STATE", "EVENT", "TYPE", "ACCEPTED", "REQUEST", "WHAT", "REASON"]);
    let pending = events.pending.iter().map(|event| ("pending", event));
    let dead = events.dead.iter().map(|event| ("dead", event));
    for (state, event) in pending.chain(dead) {
        table.row([
            state.to_owned(),
            event.id.to_string(),
            event.kind.clone(),
            event.accepted_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            event.request_id.clone(),
            what(event),
            event.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// `<environment>/<service> <artifact>` of a release, as far as they are there; a new artifact has
/// no environment, and a daemon tells of a workload.
fn what(event: &QueuedEvent) -> String {
    let text = |field| event.body.get(field).and_then(Value::as_str).unwrap_or("?");
    match event.kind.as_str() {
        Event::NEW_ARTIFACT => format!("{} {}", text("service"), text("artifactId")),
        Report::SUCCEEDED => format!("{}/{} {}", text("environment"), text("name"), text("artifactId")),
        Report::POD_FAILED => format!("{}/{} {}", text("environment"), text("podName"), text("artifactId")),
        Report::JOB_FAILED => format!("{}/{} {}", text("environment"), text("jobName"), text("artifactId")),
        Report::STATE => text("environment").to_owned(),
        _ => format!("{}/{} {}", text("environment"), text("service"), text("artifactID")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Events {
        #[command(flatten)]
        flags: EventsFlags,
    }

    fn parse(arguments: &[&str]) -> EventsFlags {
        Events::try_parse_from(["events"].iter().chain(arguments)).ok().unwrap().flags
    }

    #[test]
    fn a_given_token_wins_and_a_generated_one_is_found() {
        let data_dir = tempfile::tempdir().unwrap();
        let directory = data_dir.path().to_str().unwrap();
        assert_eq!(token(&parse(&["list", "--data-dir", directory])).unwrap(), None);

        let path = tokens::path(data_dir.path(), Audience::Hamctl);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(&path, "generated\n").unwrap();
        for (given, expected) in [("", "generated"), (" ,", "generated"), (" one, two", "one")] {
            let flags = parse(&["list", "--data-dir", directory, "--hamctl-auth-token", given]);
            assert_eq!(token(&flags).unwrap(), Some(Secret::new(expected)), "{given:?}");
        }
    }

    #[test]
    fn ids_are_needed_and_checked() {
        for arguments in
            [&["retry"][..], &["drop"], &["retry", "not-an-id"], &["list", "--output", "xml"], &[]]
        {
            assert!(Events::try_parse_from(["events"].iter().chain(arguments)).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn an_event_says_what_it_is_about() {
        let mut event = QueuedEvent {
            id: Uuid::nil(),
            kind: "release.artifactId".into(),
            accepted_at: chrono::DateTime::UNIX_EPOCH,
            request_id: "r-1".into(),
            reason: None,
            body: json!({"service": "svc", "environment": "dev", "artifactID": "m-1"}),
        };
        assert_eq!(what(&event), "dev/svc m-1");
        event.kind = "newArtifact".into();
        event.body = json!({"service": "svc", "artifactId": "m-1"});
        assert_eq!(what(&event), "svc m-1");
        event.kind = "rollout.podFailed".into();
        event.body = json!({"environment": "dev", "podName": "api-0", "artifactId": "m-1"});
        assert_eq!(what(&event), "dev/api-0 m-1");
        event.kind = "release.artifactId".into();
        event.body = json!("nonsense");
        assert_eq!(what(&event), "?/? ?");
    }
}
