use std::{collections::HashSet, fmt};

use chrono::Utc;
use clap::{Args, builder::NonEmptyStringValueParser, value_parser};
use clap_complete::engine::ArgValueCandidates;
use inquire::{InquireError, Select};
use release_api::Release;
use release_core::Intent;
use release_terminal::{CliError, Exit, text::sanitise};

use crate::{
    args::{NamespaceArgs, WaitArgs},
    candidates,
    context::Context,
    explain::explain,
    output::FormatArgs,
    releasing::{Order, release},
    times::humanize,
};

/// A release of the same artifact again and again is no place to roll back to, so more of
/// the history is looked at than is offered.
const LOOK_BACK: u32 = 10;

/// Go back to an artifact that ran before.
///
/// Without --artifact you choose from a list (type to filter it); where no terminal is,
/// it is the artifact that ran before the current one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl rollback --service product --env prod
  hamctl rollback --service product --env prod --length 10
  hamctl rollback --service product --env prod --artifact master-1234567890-0987654321")]
pub(crate) struct RollbackArgs {
    /// Where.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: String,
    /// The artifact to go back to.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::artifacts))]
    artifact: Option<String>,
    /// How many releases to choose from.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=999))]
    length: u32,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) async fn run(context: &Context<'_>, args: &RollbackArgs) -> Result<Exit, CliError> {
    let service = &context.service;
    let count = LOOK_BACK.max(args.length.saturating_add(1));
    let namespace = context.namespace(&args.namespace);
    let described = context.client.describe_release(service, &args.env, count, &namespace).await;
    let releases = described.map_err(explain)?.releases;
    let Some(current) = releases.first() else {
        return Err(CliError::failed(format!("nothing of service {service} runs in {}", args.env)));
    };
    let artifact_id = match &args.artifact {
        Some(artifact) => artifact.clone(),
        None => choose(context, args, &releases)?,
    };
    let left = current.artifact.id.clone();
    let order = Order {
        title: format!("Rollback of service {service} in {} from {left} to {artifact_id}", args.env),
        artifact_id,
        intent: Intent::Rollback { previous_artifact_id: left },
        environments: vec![args.env.clone()],
        namespace,
    };
    release(context, &order, &args.wait, args.format.output).await
}

fn choose(context: &Context<'_>, args: &RollbackArgs, releases: &[Release]) -> Result<String, CliError> {
    let choices = choices(releases, args.length as usize);
    let Some(before) = choices.first() else {
        return Err(CliError::failed(format!(
            "there is nothing to go back to: service {} had no other artifact in {} lately (releases looked at: {})",
            context.service,
            args.env,
            releases.len(),
        ))
        .hint("name an artifact with --artifact, or look further back with --length"));
    };
    if !context.printer.is_interactive() {
        return Ok(before.artifact.id.clone());
    }
    let question = format!("Which release of {} should {} go back to?", context.service, args.env);
    let options = choices.into_iter().map(Choice).collect();
    let chosen = Select::new(&sanitise(&question), options).with_page_size(10).prompt();
    chosen.map(|choice| choice.0.artifact.id.clone()).map_err(not_chosen)
}

/// The last releases of other artifacts than the current one, each artifact once.
fn choices(releases: &[Release], length: usize) -> Vec<&Release> {
    let mut seen: HashSet<&str> =
        releases.iter().take(1).map(|current| current.artifact.id.as_str()).collect();
    releases.iter().filter(|release| seen.insert(&release.artifact.id)).take(length).collect()
}

fn not_chosen(error: InquireError) -> CliError {
    match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => {
            CliError::failed("no release was chosen; nothing was changed")
        }
        error => CliError::failed(format!("the list cannot be shown: {error}"))
            .hint("name an artifact with --artifact"),
    }
}

/// One line of the list.
struct Choice<'a>(&'a Release);

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = self.0;
        let message = release.artifact.application.message.lines().next().unwrap_or_default();
        let line = format!(
            "#{} {}  {} by {}: {message}",
            release.release_index,
            release.artifact.id,
            humanize(release.released_at, Utc::now()),
            release.released_by_name,
        );
        f.write_str(&sanitise(&line))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use release_core::Spec;

    use super::*;

    fn releases(ids: &[&str]) -> Vec<Release> {
        let release = |(index, id): (usize, &&str)| Release {
            release_index: index,
            artifact: Spec { id: (*id).to_owned(), ..Spec::default() },
            released_at: DateTime::UNIX_EPOCH,
            released_by_email: String::new(),
            released_by_name: "Jane".to_owned(),
            intent: Intent::ReleaseArtifact,
        };
        ids.iter().enumerate().map(release).collect()
    }

    #[test]
    fn the_choices_are_other_artifacts_each_once() {
        let cases: [(&[&str], usize, &[usize]); 5] = [
            (&["c", "b", "a"], 3, &[1, 2]),
            (&["c", "c", "b", "c", "b", "a"], 3, &[2, 5]),
            (&["d", "c", "b", "a"], 2, &[1, 2]),
            (&["c", "c"], 3, &[]),
            (&[], 3, &[]),
        ];
        for (ids, length, expected) in cases {
            let releases = releases(ids);
            let found: Vec<_> = choices(&releases, length).iter().map(|r| r.release_index).collect();
            assert_eq!(found, expected, "{ids:?}");
        }
    }

    #[test]
    fn a_choice_is_one_harmless_line() {
        let mut releases = releases(&["m-1"]);
        releases[0].artifact.application.message = "fix \u{1b}[2J it\nmore".into();
        let line = Choice(&releases[0]).to_string();
        assert!(line.starts_with("#0 m-1  ") && line.ends_with("years ago by Jane: fix �[2J it"), "{line}");
    }
}
