use std::str::FromStr;

use clap::{Args, builder::NonEmptyStringValueParser};
use clap_complete::engine::ArgValueCandidates;
use release_client::ClientError;
use release_core::Intent;
use release_terminal::{CliError, Exit};

use crate::{
    args::{NamespaceArgs, WaitArgs},
    candidates,
    context::Context,
    explain::explain,
    output::FormatArgs,
    releasing::{Order, release},
};

/// Bring what runs in one environment to the next.
///
/// By convention, the first environment of the promotion chain gets the newest artifact of
/// the default branch, and each other one what runs in the environment before it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl promote --service product --env dev
  hamctl promote --service product --env prod --wait
  hamctl promote --service product --env prod --from-env staging
  HAMCTL_PROMOTION_CHAIN=main,dev,staging,prod hamctl promote --service product --env prod")]
pub(crate) struct PromoteArgs {
    /// Where to.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: String,
    /// Where from, instead of what the chain says.
    #[arg(long, value_name = "ENV", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    from_env: Option<String>,
    /// The default branch and the environments after it. Of several default branches
    /// with `|` between them, the first that has an artifact counts.
    #[arg(
        long,
        env = "HAMCTL_PROMOTION_CHAIN",
        default_value = "master|main,dev,prod",
        value_name = "CHAIN"
    )]
    promotion_chain: Chain,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// `master|main,dev,prod`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    /// At least one.
    branches: Vec<String>,
    environments: Vec<String>,
}

/// Where a promotion takes its artifact from.
#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    Branches(&'a [String]),
    Environment(&'a str),
}

impl FromStr for Chain {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (branches, environments) = text.split_once(',').ok_or("must name a branch and an environment")?;
        let split = |text: &str, separator| -> Vec<String> {
            text.split(separator).map(|name: &str| name.trim().to_owned()).collect()
        };
        let chain = Self { branches: split(branches, '|'), environments: split(environments, ',') };
        if chain.branches.iter().chain(&chain.environments).any(String::is_empty) {
            return Err("has an empty name in it");
        }
        Ok(chain)
    }
}

impl Chain {
    /// `None` when the environment is not part of the chain.
    fn source(&self, environment: &str) -> Option<Source<'_>> {
        let position = self.environments.iter().position(|name| name == environment)?;
        Some(match position.checked_sub(1) {
            None => Source::Branches(&self.branches),
            Some(before) => Source::Environment(&self.environments[before]),
        })
    }

    fn environments(&self) -> String {
        self.environments.join(", ")
    }
}

pub(crate) async fn run(context: &Context<'_>, args: &PromoteArgs) -> Result<Exit, CliError> {
    let (artifact_id, from, intent) = match source(args)? {
        Source::Branches(branches) => from_branch(context, branches).await?,
        Source::Environment(environment) => {
            from_environment(context, environment, &context.namespace(&args.namespace)).await?
        }
    };
    let order = Order {
        title: format!("Promotion of service {} from {from} to {}", context.service, args.env),
        artifact_id,
        intent,
        environments: vec![args.env.clone()],
        namespace: context.namespace(&args.namespace),
    };
    release(context, &order, &args.wait, args.format.output).await
}

fn source(args: &PromoteArgs) -> Result<Source<'_>, CliError> {
    let source = match &args.from_env {
        Some(from) => Some(Source::Environment(from.as_str())),
        None => args.promotion_chain.source(&args.env),
    };
    if source == Some(Source::Environment(&args.env)) {
        return Err(CliError::usage(format!("'{}' cannot be promoted to itself", args.env)));
    }
    source.ok_or_else(|| {
        let chain = args.promotion_chain.environments();
        CliError::usage(format!("it is not known from where to promote to '{}'", args.env)).hint(format!(
            "say it with --from-env, or with --promotion-chain, whose environments are now {chain}"
        ))
    })
}

async fn from_branch(
    context: &Context<'_>,
    branches: &[String],
) -> Result<(String, String, Intent), CliError> {
    let mut first_refusal = None;
    for branch in branches {
        match context.client.latest_artifact(&context.service, branch).await {
            Ok(artifact) => {
                let intent = Intent::ReleaseBranch { branch: branch.clone() };
                return Ok((artifact.id, format!("branch {branch}"), intent));
            }
            Err(error @ (ClientError::Refused { .. } | ClientError::NoArtifact { .. })) => {
                first_refusal.get_or_insert(error);
            }
            Err(error) => return Err(explain(error)),
        }
    }
    Err(explain(first_refusal.expect("a chain has a branch")))
}

async fn from_environment(
    context: &Context<'_>,
    environment: &str,
    namespace: &str,
) -> Result<(String, String, Intent), CliError> {
    let service = &context.service;
    let described = context.client.describe_release(service, environment, 1, namespace).await;
    let current = described.map_err(explain)?.releases.into_iter().next();
    let current = current
        .ok_or_else(|| CliError::failed(format!("nothing of service {service} runs in {environment}")))?;
    let intent = Intent::Promote { from_environment: environment.to_owned() };
    Ok((current.artifact.id, environment.to_owned(), intent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_follows_the_one_before_it() {
        let chain: Chain = "master|main, dev,staging,prod".parse().unwrap();
        let branches = ["master".to_owned(), "main".to_owned()];
        assert_eq!(chain.source("dev"), Some(Source::Branches(&branches)));
        assert_eq!(chain.source("staging"), Some(Source::Environment("dev")));
        assert_eq!(chain.source("prod"), Some(Source::Environment("staging")));
        assert_eq!(chain.source("test"), None);
    }

    #[test]
    fn a_chain_without_a_branch_or_an_environment_is_refused() {
        for text in ["", "dev", ",dev", "master,", "master,dev,,prod", "master||main,dev"] {
            assert!(text.parse::<Chain>().is_err(), "{text}");
        }
    }
}
