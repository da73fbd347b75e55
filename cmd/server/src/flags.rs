//! The flags of `server start`. What the field's server calls the same is the same.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use release_core::{artifact, policy::GlobalRestrictions};
use release_git::SigningOptions;
use release_storage::Limits;
use url::Url;

use crate::{
    amqp::AmqpFlags,
    artifact_storage::S3Flags,
    http::{
        auth::{TokenList, Tokens},
        webhook::WebhookSecret,
    },
    identity::IdentityFlags,
    notifications::NotificationFlags,
};

/// No `Debug`: some of these are secrets.
#[derive(Args)]
pub(crate) struct StartFlags {
    /// Port that the HTTP API listens on; 0 is any free one, told in the log
    #[arg(long, env = "HTTP_PORT", default_value_t = 8080)]
    pub(crate) http_port: u16,
    /// How long a request may take
    #[arg(long, default_value = "20s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Where clients reach this server, for the upload URLs it hands out [default: this machine's port]
    #[arg(long, env = "EXTERNAL_URL", value_parser = release_client::parse_base_url)]
    pub(crate) external_url: Option<Url>,
    /// How long requests and releases in flight may take to finish when the server is told to stop
    #[arg(long, default_value = "25s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) shutdown_timeout: Duration,
    /// Directory of all that the server keeps on disk: the copy of the config repository, artifacts,
    /// accepted events, generated tokens
    /// [default: $XDG_DATA_HOME/release-manager, ~/.local/share/release-manager, or
    /// /var/lib/release-manager without a home]
    #[arg(long, env = "DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tokens: TokenFlags,
    #[command(flatten)]
    pub(crate) identity: IdentityFlags,
    #[command(flatten)]
    pub(crate) git: GitFlags,
    #[command(flatten)]
    pub(crate) broker: BrokerFlags,
    #[command(flatten)]
    pub(crate) artifacts: ArtifactFlags,
    #[command(flatten)]
    pub(crate) s3: S3Flags,
    #[command(flatten)]
    pub(crate) policies: PolicyFlags,
    #[command(flatten)]
    pub(crate) webhook: WebhookFlags,
    #[command(flatten)]
    pub(crate) notifications: NotificationFlags,
    #[command(flatten)]
    pub(crate) log: LogFlags,
}

impl StartFlags {
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }

    pub(crate) fn external_url(&self, port: u16) -> Url {
        let local = || Url::parse(&format!("http://localhost:{port}")).expect("it is a URL");
        self.external_url.clone().unwrap_or_else(local)
    }
}

/// `$XDG_DATA_HOME/release-manager`, `~/.local/share/release-manager`, or
/// `/var/lib/release-manager` for a user without a home.
pub(crate) fn default_data_dir() -> PathBuf {
    let directory =
        |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_DATA_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("release-manager")
}

/// Without any of them each audience gets a generated token.
#[derive(Args)]
pub(crate) struct TokenFlags {
    /// Tokens that hamctl may log in with, separated by commas
    #[arg(
        long = "hamctl-auth-token",
        env = "HAMCTL_AUTH_TOKEN",
        hide_env_values = true,
        value_name = "TOKENS"
    )]
    hamctl: Option<TokenList>,
    /// Tokens that artifact may log in with, separated by commas
    #[arg(
        long = "artifact-auth-token",
        env = "ARTIFACT_AUTH_TOKEN",
        hide_env_values = true,
        value_name = "TOKENS"
    )]
    artifact: Option<TokenList>,
    /// Tokens that daemon may log in with, separated by commas
    #[arg(
        long = "daemon-auth-token",
        env = "DAEMON_AUTH_TOKEN",
        hide_env_values = true,
        value_name = "TOKENS"
    )]
    daemon: Option<TokenList>,
}

impl TokenFlags {
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens {
            hamctl: self.hamctl.clone().unwrap_or_default(),
            artifact: self.artifact.clone().unwrap_or_default(),
            daemon: self.daemon.clone().unwrap_or_default(),
        }
    }
}

#[derive(Args)]
pub(crate) struct GitFlags {
    /// URL of the config repository: ssh, https or file
    #[arg(long, env = "CONFIG_REPO", hide_env_values = true, value_name = "URL", value_parser = without_password)]
    pub(crate) config_repo: String,
    /// Branch of the config repository [default: the remote's]
    #[arg(long, env = "CONFIG_BRANCH", value_name = "BRANCH")]
    pub(crate) config_branch: Option<String>,
    /// Private key for a config repository over ssh
    /// [default: /etc/release-manager/ssh/identity where there is such a file]
    #[arg(long, value_name = "FILE")]
    ssh_private_key: Option<PathBuf>,
    /// The only host keys that are accepted over ssh, in the format of `known_hosts`
    /// [default: what the machine's ssh configuration says]
    #[arg(long, value_name = "FILE")]
    ssh_known_hosts: Option<PathBuf>,
    /// Believe the host key of an ssh server that is not known yet, and remember it, in the file of
    /// --ssh-known-hosts or else in the data directory; a key that changes later is refused all the same
    #[arg(long)]
    pub(crate) ssh_accept_new_host_keys: bool,
    /// Token for a config repository over https
    #[arg(long, env = "GIT_HTTPS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) git_https_token: Option<String>,
    /// Name of the committer in the config repository
    #[arg(long, default_value = "Release Manager", value_name = "NAME")]
    pub(crate) git_user: String,
    /// E-mail address of the committer in the config repository
    #[arg(long, default_value = "release-manager@localhost", value_name = "E-MAIL")]
    pub(crate) git_email: String,
    /// Key that signs every commit: the path of an ssh private key, or the id, fingerprint or e-mail
    /// address of a gpg key in --git-gpg-key-import-paths [default: commits are not signed]
    #[arg(long, value_name = "KEY")]
    git_signing_key: Option<String>,
    /// Files of gpg private keys without a passphrase, separated by commas
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    git_gpg_key_import_paths: Vec<PathBuf>,
    /// How often the remote is asked for commits of others
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) git_poll_interval: Duration,
    /// How long one push or fetch may take
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) git_timeout: Duration,
    /// The most pushes in a minute, for remotes that limit them; 0 is no limit
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(crate) git_max_pushes_per_minute: usize,
}

impl GitFlags {
    /// `None`: what the machine's ssh configuration gives.
    pub(crate) fn ssh_key(&self) -> Option<PathBuf> {
        let mounted =
            || Some(PathBuf::from("/etc/release-manager/ssh/identity")).filter(|path| path.exists());
        self.ssh_private_key.clone().or_else(mounted)
    }

    /// What is learned outlives a restart. `None`: what the machine's ssh configuration says.
    pub(crate) fn ssh_known_hosts(&self, data_dir: &Path) -> Option<PathBuf> {
        let learned = || self.ssh_accept_new_host_keys.then(|| data_dir.join("known_hosts"));
        self.ssh_known_hosts.clone().or_else(learned)
    }

    /// `None`: commits are not signed. Imported keys alone sign nothing.
    pub(crate) fn signing(&self) -> Option<SigningOptions> {
        let key = self.git_signing_key.clone().filter(|key| !key.is_empty())?;
        Some(SigningOptions { key, gpg_key_paths: self.git_gpg_key_import_paths.clone() })
    }
}

/// Git would show it to every user of the machine, among the arguments of its processes.
fn without_password(url: &str) -> Result<String, &'static str> {
    match url::Url::parse(url) {
        // Hosting services take a token for the user name, too.
        Ok(parsed) if parsed.password().is_some() || is_http(&parsed) && !parsed.username().is_empty() => {
            Err(
                "a password or token in the URL can be seen by others; take it out and give it as GIT_HTTPS_TOKEN",
            )
        }
        _ => Ok(url.to_owned()),
    }
}

fn is_http(url: &url::Url) -> bool {
    url.scheme().starts_with("http")
}

#[derive(Args)]
pub(crate) struct BrokerFlags {
    /// Where accepted events wait
    #[arg(long, value_enum, default_value_t = BrokerType::Embedded)]
    pub(crate) broker_type: BrokerType,
    /// How many events the memory broker holds
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(crate) memory_queue_size: usize,
    #[command(flatten)]
    pub(crate) amqp: AmqpFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerType {
    /// On disk in the data directory
    Embedded,
    /// In memory; a restart forgets them
    Memory,
    /// In RabbitMQ, which several servers may share
    Amqp,
}

#[derive(Args)]
pub(crate) struct ArtifactFlags {
    /// Name of the spec's file in artifacts; there is only one
    #[arg(
        long = "artifact-filename", default_value = artifact::FILE_NAME,
        value_parser = [artifact::FILE_NAME], hide = true
    )]
    _filename: String,
    /// Longest zip of an artifact, in bytes
    #[arg(long = "artifact-max-bytes", default_value_t = Limits::default().max_zip_bytes, value_name = "BYTES")]
    max_bytes: u64,
    /// The most that an artifact may unpack to, in bytes
    #[arg(long = "artifact-max-unpacked-bytes", default_value_t = Limits::default().max_unpacked_bytes, value_name = "BYTES")]
    max_unpacked_bytes: u64,
    /// The most files and directories in an artifact
    #[arg(long = "artifact-max-files", default_value_t = Limits::default().max_files, value_name = "COUNT")]
    max_files: usize,
}

impl ArtifactFlags {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_files: self.max_files,
            max_unpacked_bytes: self.max_unpacked_bytes,
            max_zip_bytes: self.max_bytes,
        }
    }
}

#[derive(Args)]
pub(crate) struct PolicyFlags {
    /// Branch restrictions for all services, as in `prod=^master$,dev=^(master|develop)$`; a comma
    /// outside of brackets begins the next one
    #[arg(
        long = "policy-branch-restrictions",
        default_value = "",
        value_name = "RESTRICTIONS",
        hide_default_value = true
    )]
    pub(crate) restrictions: GlobalRestrictions,
}

#[derive(Args)]
pub(crate) struct WebhookFlags {
    /// Secret that GitHub signs webhook deliveries with; without one they are believed unsigned
    #[arg(
        long = "github-webhook-secret",
        env = "GITHUB_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<String>,
}

impl WebhookFlags {
    pub(crate) fn secret(&self) -> Option<WebhookSecret> {
        self.secret.as_deref().and_then(WebhookSecret::new)
    }
}

#[derive(Args)]
pub(crate) struct LogFlags {
    /// Least important level that is logged: error, warn, info, debug or trace; single parts can have
    /// their own, as in `info,release_git=debug`
    #[arg(long = "log.level", env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub(crate) level: String,
    /// Log for people instead of programs
    #[arg(
        long = "log.development", env = "LOG_DEVELOPMENT", default_value_t = false,
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    pub(crate) development: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Start {
        #[command(flatten)]
        flags: StartFlags,
    }

    fn parse(arguments: &[&str]) -> Result<StartFlags, clap::Error> {
        Start::try_parse_from(["start"].iter().chain(arguments)).map(|start| start.flags)
    }

    #[test]
    fn the_config_repository_is_all_that_must_be_given() {
        let flags = parse(&["--config-repo", "file:///srv/config"]).ok().unwrap();
        assert_eq!(flags.http_port, 8080);
        assert_eq!(flags.timeout, Duration::from_secs(20));
        assert_eq!(flags.broker.broker_type, BrokerType::Embedded);
        assert_eq!(flags.external_url(8080).as_str(), "http://localhost:8080/");
        assert!(flags.tokens.tokens().are_all_empty());
        assert_eq!(flags.artifacts.limits(), Limits::default());
        assert!(!flags.log.development);
        assert!(flags.policies.restrictions.is_empty() && flags.webhook.secret().is_none());
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn flags_of_the_field_are_understood() {
        let flags = parse(&[
            "--config-repo=git@git.example.com:org/config.git",
            "--hamctl-auth-token=a,b",
            "--artifact-filename=artifact.json",
            "--timeout=1m30s",
            "--log.level=debug",
            "--log.development=true",
            "--broker-type=memory",
            "--memory-queue-size=5",
            "--amqp-host=rabbitmq",
            "--amqp-port=5673",
            "--amqp-user=release-manager",
            "--amqp-password=secret",
            "--amqp-virtualhost=/",
            "--amqp-reconnection-timeouts=5s",
            "--amqp-connection-timeouts=10s",
            "--amqp-init-timeouts=10s",
            "--amqp-prefetch=10",
            "--amqp-exchange=release-manager",
            "--amqp-queue=release-manager",
            "--policy-branch-restrictions=prod=^master$,dev=^(master|develop)$",
            "--github-webhook-secret=secret",
            "--s3-artifact-storage-bucket-name=acme-artifacts",
        ]);
        let flags = flags.ok().unwrap();
        assert_eq!(flags.timeout, Duration::from_secs(90));
        assert_eq!(flags.broker.broker_type, BrokerType::Memory);
        assert!(flags.log.development);
        assert!(flags.tokens.tokens().hamctl.accepts("b"));
        assert_eq!(flags.policies.restrictions.iter().count(), 2);
        assert!(flags.webhook.secret().is_some());
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for flag in [
            "--http-port=70000",
            "--http-port=",
            "--timeout=soon",
            "--timeout=-1s",
            "--external-url=ftp://x",
            "--external-url=https://user:secret@x",
            "--broker-type=amqqp",
            "--memory-queue-size=-1",
            "--amqp-prefetch=0",
            "--amqp-port=0",
            "--amqp-init-timeouts=soon",
            "--artifact-filename=other.json",
            "--artifact-max-bytes=many",
            "--s3-artifact-storage-bucket-name=A.B",
            "--s3-artifact-storage-region=eu-west-1",
            "--log.development=perhaps",
            "--policy-branch-restrictions=prod",
            "--policy-branch-restrictions=prod=(",
            "--user-mappings=jane",
            "--slack-api-url=nonsense",
            "--github-api-token=x",
        ] {
            assert!(parse(&["--config-repo=x", flag]).is_err(), "{flag}");
        }
        for (url, allowed) in [
            ("https://user:secret@git.example.com/config.git", false),
            ("https://token@git.example.com/config.git", false),
            ("ssh://git@git.example.com/config.git", true),
            ("https://git.example.com/config.git", true),
        ] {
            assert_eq!(parse(&["--config-repo", url]).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn help_shows_no_secret_of_the_environment() {
        let command = Start::command();
        let secret = [
            "HAMCTL_AUTH_TOKEN",
            "ARTIFACT_AUTH_TOKEN",
            "DAEMON_AUTH_TOKEN",
            "CONFIG_REPO",
            "GITHUB_WEBHOOK_SECRET",
            "SLACK_TOKEN",
            "GITHUB_API_TOKEN",
            "GRAFANA_ANNOTATIONS",
            "AMQP_PASSWORD",
        ];
        let hidden = command.get_arguments().filter(|argument| {
            argument.get_env().is_some_and(|name| secret.iter().any(|secret| name == *secret))
        });
        assert_eq!(hidden.filter(|argument| argument.is_hide_env_values_set()).count(), secret.len());
    }
}
