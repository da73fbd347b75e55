//! Commands and flags. Older pipelines use them; names and meanings are fixed.

#![expect(clippy::struct_field_names, reason = "a field is called like its flag")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use release_client::{Secret, Url, parse_base_url};
use release_core::{
    Name,
    artifact::{Image, SnykCode, SnykDocker, StageData, Test, TestResults, Vulnerabilities},
};
use release_notify::UserMappings;
use release_terminal::manual::ManualArgs;

const EXAMPLE: &str = "\
Example, the steps of one CI job:
  artifact init --artifact-id master-0017d995e3-67e9d69164 --service api \\
      --git-branch master --git-sha 0017d995e32e --git-message 'Fix login' \\
      --git-author-name Jane --git-author-email jane@example.com \\
      --git-committer-name Jane --git-committer-email jane@example.com
  artifact add build --image registry.example.com/api --tag master-0017d995e3
  artifact add test --passed 42 --failed 0 --skipped 1
  artifact end
  artifact push --http-base-url https://release.example.com";

/// Record a build in artifact.json, step by step, and hand it to the release server
#[derive(Debug, Parser)]
#[command(name = "artifact", version, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) location: Location,
    #[command(flatten)]
    pub(crate) slack: SlackArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the artifact is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Place of the artifact")]
pub(crate) struct Location {
    /// The directory with artifact.json and one directory per environment
    #[arg(long, global = true, env = "ARTIFACT_ROOT", value_name = "DIR", default_value = ".")]
    pub(crate) root: PathBuf,
    /// The name of the file that is written, inside the root
    #[arg(long, global = true, env = "ARTIFACT_FILE", value_name = "NAME", default_value = "artifact.json")]
    pub(crate) file: PathBuf,
}

/// How `#builds` is told of the job.
#[derive(Debug, Args)]
#[command(next_help_heading = "Slack")]
pub(crate) struct SlackArgs {
    /// Token of the Slack bot; without it, nobody is told
    #[arg(long, global = true, env = "SLACK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) slack_token: Option<Secret>,
    /// Where Slack's Web API is
    #[arg(
        long,
        global = true,
        env = "SLACK_API_URL",
        value_name = "URL",
        default_value = "https://slack.com/api",
        value_parser = parse_base_url
    )]
    pub(crate) slack_api_url: Url,
    /// Where the posted message is remembered, inside the root
    #[arg(
        long,
        global = true,
        env = "ARTIFACT_MESSAGE_FILE",
        value_name = "NAME",
        default_value = "message.json"
    )]
    pub(crate) message_file: PathBuf,
    /// The company's e-mail suffix, to find people in Slack
    #[arg(long, global = true, env = "ARTIFACT_EMAIL_SUFFIX", value_name = "SUFFIX")]
    pub(crate) email_suffix: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the artifact: who changed what, and which job builds it
    Init(Box<Init>),
    /// Record what one stage of the job found; a stage that comes again replaces the first
    #[command(subcommand)]
    Add(Stage),
    /// Record that the job has ended
    End,
    /// Zip the root directory and upload it to the release server
    Push(Push),
    /// Say that the job was successful
    Successful,
    /// Say that the job failed
    Failure(Failure),
    /// Print the version
    Version,
    #[command(hide = true)]
    Manual(ManualArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The build")]
pub(crate) struct Init {
    /// The artifact's id: branch, source commit and plan commit, such as master-0017d995e3-67e9d69164
    #[arg(long, value_name = "ID")]
    pub(crate) artifact_id: Name,
    /// The name of the service that is built
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Name,
    /// The Kubernetes namespace, where it is not the environment's own
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<Name>,
    /// The team that owns the service
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) squad: String,
    /// Where the CI job can be looked at
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) ci_job_url: String,
    /// git e-mail addresses and the company addresses of the same people
    #[arg(long, env = "USER_MAPPINGS", value_name = "A@B=C@D,…")]
    pub(crate) user_mappings: Option<UserMappings>,
    #[command(flatten)]
    pub(crate) git: Git,
    #[command(flatten)]
    pub(crate) plan: Plan,
}

/// The commit that is built.
#[derive(Debug, Args)]
#[command(next_help_heading = "The commit")]
pub(crate) struct Git {
    /// The branch of the commit
    #[arg(long, value_name = "NAME")]
    pub(crate) git_branch: String,
    /// The id of the commit
    #[arg(long, value_name = "SHA")]
    pub(crate) git_sha: String,
    /// The commit's message
    #[arg(long, value_name = "TEXT")]
    pub(crate) git_message: String,
    /// Who wrote the change
    #[arg(long, value_name = "NAME")]
    pub(crate) git_author_name: String,
    /// The author's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) git_author_email: String,
    /// Who committed the change
    #[arg(long, value_name = "NAME")]
    pub(crate) git_committer_name: String,
    /// The committer's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) git_committer_email: String,
    /// The name of the source repository
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// Where the commit can be looked at
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) url: String,
    /// Who hosts the repository, such as GitHub
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) provider: String,
}

/// The shuttle plan that the build uses.
#[derive(Debug, Args)]
#[command(next_help_heading = "The shuttle plan")]
pub(crate) struct Plan {
    /// The branch of the plan's commit
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) shuttle_plan_branch: String,
    /// The id of the plan's commit
    #[arg(long, value_name = "SHA", default_value = "", hide_default_value = true)]
    pub(crate) shuttle_plan_sha: String,
    /// The message of the plan's commit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) shuttle_plan_message: String,
    /// Where the plan lives
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) shuttle_plan_url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stage {
    /// Unit and integration tests
    Test {
        /// Where the report can be looked at
        #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
        url: String,
        /// Tests that passed
        #[arg(long, value_name = "COUNT", default_value_t = 0)]
        passed: u32,
        /// Tests that failed
        #[arg(long, value_name = "COUNT", default_value_t = 0)]
        failed: u32,
        /// Tests that were skipped
        #[arg(long, value_name = "COUNT", default_value_t = 0)]
        skipped: u32,
    },
    /// The image was built
    Build(ImageArgs),
    /// The image was pushed
    Push(ImageArgs),
    /// Security scan of the code
    SnykCode {
        /// The language of the code
        #[arg(long, value_name = "LANGUAGE", default_value = "", hide_default_value = true)]
        language: String,
        #[command(flatten)]
        scan: Scan,
    },
    /// Security scan of the image
    SnykDocker {
        /// The tag of the image
        #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
        tag: String,
        /// The image that this one is built on
        #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
        base_image: String,
        #[command(flatten)]
        scan: Scan,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The name of the image, with its registry
    #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
    image: String,
    /// The tag of the image
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    tag: String,
    /// The version of Docker that was used
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    docker_version: String,
}

/// What both security scans have.
#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// The version of Snyk that was used
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    snyk_version: String,
    /// Where the report can be looked at
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    url: String,
    /// Vulnerabilities of high severity
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    high: u32,
    /// Vulnerabilities of medium severity
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    medium: u32,
    /// Vulnerabilities of low severity
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    low: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    // No parser: its error would repeat the text, and there may be a password in it.
    /// Where the release server is
    #[arg(long, env = "ARTIFACT_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) http_base_url: String,
    /// One of the server's tokens for artifacts; better given in the environment, where `ps` does not show it
    #[arg(long, env = "ARTIFACT_AUTH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) auth_token: Option<Secret>,
    #[command(flatten)]
    pub(crate) login: Login,
}

/// Instead of a token of the server: one from an identity provider, by OAuth2 client credentials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity provider")]
pub(crate) struct Login {
    /// Where to log in, if no token of the server is given
    #[arg(long, env = "ARTIFACT_IDP_URL", value_name = "URL", requires = "client_id")]
    pub(crate) idp_url: Option<String>,
    /// What the CI is called there
    #[arg(long, env = "ARTIFACT_CLIENT_ID", value_name = "ID", requires = "client_secret")]
    pub(crate) client_id: Option<String>,
    /// Its secret; better given in the environment, where `ps` does not show it
    #[arg(long, env = "ARTIFACT_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) client_secret: Option<Secret>,
    /// What to ask for
    #[arg(long, env = "ARTIFACT_SCOPE", value_name = "SCOPE", default_value = "release_artifact")]
    pub(crate) artifact_scope: String,
}

#[derive(Debug, Args)]
pub(crate) struct Failure {
    /// What went wrong
    #[arg(long, value_name = "TEXT")]
    pub(crate) error_message: String,
}

impl From<Stage> for StageData {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Build(image) => Self::Build(image.into()),
            Stage::Push(image) => Self::Push(image.into()),
            Stage::Test { url, passed, failed, skipped } => {
                let results =
                    TestResults { passed: passed.into(), failed: failed.into(), skipped: skipped.into() };
                Self::Test(Test { url, results })
            }
            Stage::SnykCode { language, scan } => Self::SnykCode(SnykCode {
                vulnerabilities: scan.vulnerabilities(),
                snyk_version: scan.snyk_version,
                url: scan.url,
                language,
            }),
            Stage::SnykDocker { tag, base_image, scan } => Self::SnykDocker(SnykDocker {
                vulnerabilities: scan.vulnerabilities(),
                tag,
                snyk_version: scan.snyk_version,
                url: scan.url,
                base_image,
            }),
        }
    }
}

impl From<ImageArgs> for Image {
    fn from(args: ImageArgs) -> Self {
        Self { image: args.image, tag: args.tag, docker_version: args.docker_version }
    }
}

impl Scan {
    fn vulnerabilities(&self) -> Vulnerabilities {
        Vulnerabilities { high: self.high.into(), medium: self.medium.into(), low: self.low.into() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
    }
}
