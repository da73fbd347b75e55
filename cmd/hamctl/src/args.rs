//! The command line. Help texts live beside what they explain.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use release_terminal::manual::ManualArgs;

use crate::{
    candidates,
    commands::{
        completion, describe_artifact, describe_release, login, logout, metrics, policy, promote, release,
        rollback, status, whoami,
    },
};

/// Release services to environments, and see what runs where.
#[derive(Debug, Parser)]
#[command(name = "hamctl", version)]
#[command(after_help = "\
Log in with 'hamctl login', or with a token in the environment variable HAMCTL_AUTH_TOKEN.
Exit status: 0 ok, 1 failed, 2 wrong usage.

Examples:
  hamctl status --service product
  hamctl release --service product --branch master --env dev
  hamctl promote --service product --env prod --wait")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// Nothing here is checked while parsing: `version` and `completion` work with any environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct GlobalArgs {
    /// The release server's URL.
    #[arg(long, global = true, env = "HAMCTL_URL", value_name = "URL")]
    pub(crate) http_base_url: Option<String>,
    /// How long to wait for one answer of the server.
    #[arg(long, global = true, default_value = "120s", value_name = "DURATION", value_parser = duration)]
    pub(crate) http_timeout: Duration,
    /// The service; without it, `vars.service` of the `shuttle.yaml` in this directory.
    #[arg(long, global = true, env = "HAMCTL_SERVICE")]
    #[arg(add = ArgValueCandidates::new(candidates::services))]
    pub(crate) service: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Promote(promote::PromoteArgs),
    Release(release::ReleaseArgs),
    Rollback(rollback::RollbackArgs),
    Status(status::StatusArgs),
    #[command(subcommand)]
    Describe(Describe),
    Metrics(metrics::MetricsArgs),
    #[command(subcommand)]
    Policy(policy::Policy),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Whoami(whoami::WhoamiArgs),
    Completion(completion::CompletionArgs),
    /// Print the version of this program.
    #[command(after_help = "Example:\n  hamctl version")]
    Version,
    #[command(hide = true)]
    Manual(ManualArgs),
}

/// Show details of releases or artifacts.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  hamctl describe release --service product --env dev
  hamctl describe artifact --service product")]
pub(crate) enum Describe {
    #[command(visible_alias = "releases")]
    Release(describe_release::DescribeReleaseArgs),
    #[command(visible_alias = "artifacts")]
    Artifact(describe_artifact::DescribeArtifactArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceArgs {
    /// The service's namespace; without it, `vars.k8s.namespace` of the `shuttle.yaml` in
    /// this directory, else the one named like the environment.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until the release's commit is in the config repository, or, with `--wait=healthy`,
    /// until all of the release runs in its cluster.
    #[arg(long, value_enum, value_name = "UNTIL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "released")]
    pub(crate) wait: Option<Until>,
    /// How long `--wait` waits at most.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration)]
    pub(crate) wait_timeout: Duration,
}

/// What `--wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    Released,
    Healthy,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "write it like 90s, 2m or 1h30m".to_owned())?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_has_no_contradictions() {
        super::Cli::command().debug_assert();
    }
}
