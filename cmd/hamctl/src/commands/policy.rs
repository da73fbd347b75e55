use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use clap_complete::engine::ArgValueCandidates;
use release_api::{
    ApplyAutoReleaseRequest, ApplyBranchRestrictionRequest, DeletePoliciesRequest, PoliciesResponse,
};
use release_terminal::{CliError, Exit, Line, Printer, Table};
use serde::Serialize;

use crate::{
    candidates,
    context::{self, Context},
    explain::explain,
    output::{FormatArgs, Output, OutputArgs},
    template::values,
};

/// See and change what may be released where, and what is released by itself.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  hamctl policy list --service product
  hamctl policy apply auto-release --service product --branch master --env dev
  hamctl policy apply branch-restriction --service product --env prod --branch-regex '^master$'
  hamctl policy delete --service product branch-restriction-prod")]
pub(crate) enum Policy {
    List(ListArgs),
    #[command(subcommand)]
    Apply(Apply),
    Delete(DeleteArgs),
}

/// Add a policy, or replace the environment's one of the same kind.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  hamctl policy apply auto-release --service product --branch master --env dev
  hamctl policy apply branch-restriction --service product --env prod --branch-regex '^master$'")]
pub(crate) enum Apply {
    AutoRelease(AutoReleaseArgs),
    BranchRestriction(BranchRestrictionArgs),
}

/// List the policies of a service, those for all services included.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl policy list --service product
  hamctl policy list --service product --output json
  hamctl policy list --service product --template '{{ range .AutoReleases }}{{ .ID }} {{ end }}'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Release new artifacts of a branch to an environment by themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hamctl policy apply auto-release --service product --branch master --env dev")]
pub(crate) struct AutoReleaseArgs {
    /// The branch whose artifacts are released.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::branches))]
    branch: String,
    /// Where to.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: String,
    #[command(flatten)]
    format: FormatArgs,
}

/// Let only artifacts of certain branches into an environment.
#[derive(Debug, Args)]
#[command(after_help = "\
The expression matches anywhere in a branch's name unless it is anchored: 'master' also
lets 'refactor-master-worker' in, '^master$' does not.

Examples:
  hamctl policy apply branch-restriction --service product --env prod --branch-regex '^master$'
  hamctl policy apply branch-restriction --service product --env prod --branch-regex '^(master|hotfix/.+)$'")]
pub(crate) struct BranchRestrictionArgs {
    /// Where to.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: String,
    /// The regular expression that the names of branches have to match.
    #[arg(long, value_name = "REGEX", value_parser = NonEmptyStringValueParser::new())]
    branch_regex: String,
    #[command(flatten)]
    format: FormatArgs,
}

/// Delete policies of a service.
#[derive(Debug, Args)]
#[command(after_help = "\
Restrictions for all services have no id; they are set where the server is started.

Example:
  hamctl policy delete --service product auto-release-master-dev branch-restriction-prod")]
pub(crate) struct DeleteArgs {
    /// The ids, as `hamctl policy list` shows them.
    #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::policies))]
    ids: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) async fn run(context: &Context<'_>, policy: &Policy) -> Result<Exit, CliError> {
    match policy {
        Policy::List(args) => list(context, args).await,
        Policy::Apply(Apply::AutoRelease(args)) => apply_auto_release(context, args).await,
        Policy::Apply(Apply::BranchRestriction(args)) => apply_branch_restriction(context, args).await,
        Policy::Delete(args) => delete(context, args).await,
    }
}

async fn list(context: &Context<'_>, args: &ListArgs) -> Result<Exit, CliError> {
    let policies = context.client.policies(&context.service).await.map_err(explain)?;
    match args.output.choice() {
        Output::Plain => print(context.printer, &policies),
        Output::Format(format) => format.print(context.printer, &policies)?,
        Output::Template(template) => template.print(context.printer, values::policies(&policies))?,
    }
    Ok(Exit::Ok)
}

fn print(printer: &Printer, policies: &PoliciesResponse) {
    if policies.auto_releases.is_empty() && policies.branch_restrictions.is_empty() {
        printer.line(Line::new().plain("Service ").strong(&policies.service).plain(" has no policies"));
        return;
    }
    printer.line(Line::new().plain("Policies of service ").strong(&policies.service));
    if !policies.auto_releases.is_empty() {
        printer.line("");
        let mut table = Table::new().header(["Auto-release of", "To", "Id"]);
        for policy in &policies.auto_releases {
            table.row([policy.branch.as_str(), &policy.environment, &policy.id]);
        }
        printer.table(&table);
    }
    if !policies.branch_restrictions.is_empty() {
        printer.line("");
        let mut table = Table::new().header(["Only branches like", "To", "Id"]);
        for policy in &policies.branch_restrictions {
            let id = if policy.id.is_empty() { "(all services)" } else { &policy.id };
            table.row([policy.branch_regex.as_str(), &policy.environment, id]);
        }
        printer.table(&table);
    }
}

async fn apply_auto_release(context: &Context<'_>, args: &AutoReleaseArgs) -> Result<Exit, CliError> {
    let committer = context::committer().await;
    let request = ApplyAutoReleaseRequest {
        service: context.service.clone(),
        branch: args.branch.clone(),
        environment: args.env.clone(),
        committer_name: committer.name().to_owned(),
        committer_email: committer.email().to_owned(),
    };
    let applied = context.client.apply_auto_release(&request).await.map_err(explain)?;
    done(
        context,
        &args.format,
        &applied,
        &format!("Policy {} applied to service {}", applied.id, context.service),
    )
}

async fn apply_branch_restriction(
    context: &Context<'_>,
    args: &BranchRestrictionArgs,
) -> Result<Exit, CliError> {
    let committer = context::committer().await;
    let request = ApplyBranchRestrictionRequest {
        service: context.service.clone(),
        branch_regex: args.branch_regex.clone(),
        environment: args.env.clone(),
        committer_name: committer.name().to_owned(),
        committer_email: committer.email().to_owned(),
    };
    let applied = context.client.apply_branch_restriction(&request).await.map_err(explain)?;
    done(
        context,
        &args.format,
        &applied,
        &format!("Policy {} applied to service {}", applied.id, context.service),
    )
}

async fn delete(context: &Context<'_>, args: &DeleteArgs) -> Result<Exit, CliError> {
    let committer = context::committer().await;
    let request = DeletePoliciesRequest {
        service: context.service.clone(),
        policy_ids: args.ids.clone(),
        committer_name: committer.name().to_owned(),
        committer_email: committer.email().to_owned(),
    };
    let deleted = context.client.delete_policies(&request).await.map_err(explain)?;
    let policies =
        if deleted.count == 1 { "1 policy".to_owned() } else { format!("{} policies", deleted.count) };
    done(context, &args.format, &deleted, &format!("{policies} of service {} deleted", context.service))
}

fn done<T: Serialize>(
    context: &Context<'_>,
    format: &FormatArgs,
    answer: &T,
    sentence: &str,
) -> Result<Exit, CliError> {
    match format.output {
        Some(format) => format.print(context.printer, answer)?,
        None => context.printer.line(Line::new().good("[✓]").plain(' ').plain(sentence)),
    }
    Ok(Exit::Ok)
}
