use clap::{ArgGroup, Args, builder::NonEmptyStringValueParser};
use clap_complete::engine::ArgValueCandidates;
use release_core::Intent;
use release_terminal::{CliError, Exit};

use crate::{
    args::{NamespaceArgs, WaitArgs},
    candidates,
    context::Context,
    explain::explain,
    git,
    output::FormatArgs,
    releasing::{Order, release},
};

/// Release the newest artifact of a branch, or one artifact, to environments.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["branch", "artifact", "current_branch"]).required(true)))]
#[command(after_help = "\
Examples:
  hamctl release --service product --branch master --env dev,prod
  hamctl release --service product --artifact master-1234567890-0987654321 --env dev
  hamctl release --current-branch --env dev --wait
  hamctl release --service product --branch master --env dev --wait=healthy")]
pub(crate) struct ReleaseArgs {
    /// Where to: one environment, or several with commas between them.
    #[arg(long, short, required = true, value_delimiter = ',', value_name = "ENV")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: Vec<String>,
    /// Release this branch's newest artifact.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::branches))]
    branch: Option<String>,
    /// Release the artifact with this id.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::artifacts))]
    artifact: Option<String>,
    /// Release the newest artifact of the branch that is checked out here.
    #[arg(long, short)]
    current_branch: bool,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) async fn run(context: &Context<'_>, args: &ReleaseArgs) -> Result<Exit, CliError> {
    let order = order(context, args).await?;
    release(context, &order, &args.wait, args.format.output).await
}

async fn order(context: &Context<'_>, args: &ReleaseArgs) -> Result<Order, CliError> {
    let service = &context.service;
    let environments = args.env.clone();
    let namespace = context.namespace(&NamespaceArgs { namespace: None });
    if let Some(artifact) = &args.artifact {
        return Ok(Order {
            title: format!("Release of service {service} using artifact {artifact}"),
            artifact_id: artifact.clone(),
            intent: Intent::ReleaseArtifact,
            environments,
            namespace,
        });
    }
    let branch = match &args.branch {
        Some(branch) => branch.clone(),
        None => git::current_branch().await?,
    };
    let artifact = context.client.latest_artifact(service, &branch).await.map_err(explain)?;
    Ok(Order {
        title: format!("Release of service {service} using branch {branch}"),
        artifact_id: artifact.id,
        intent: Intent::ReleaseBranch { branch },
        environments,
        namespace,
    })
}
