//! The flags of `daemon start`. What the field's daemon calls the same is the same.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::bail;
use clap::{Args, ValueEnum, builder::BoolishValueParser};
use release_client::{Credentials, MachineLogin, ProviderConfig, parse_provider_url};
use release_core::{Name, Secret};
use url::Url;

use crate::amqp::AmqpFlags;

/// No `Debug`: some of these are secrets.
#[derive(Args)]
pub(crate) struct StartFlags {
    /// Where the release server is
    #[arg(
        long, env = "RELEASE_MANAGER_ADDRESS", default_value = "http://localhost:8080", value_name = "URL",
        hide_env_values = true, value_parser = release_client::parse_base_url
    )]
    pub(crate) release_manager_url: Url,
    /// Environment that this cluster is, such as prod
    #[arg(long, value_name = "NAME", value_parser = Name::new)]
    pub(crate) environment: Name,
    /// File that says how to reach the cluster [default: the one that the daemon runs in]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// How long the server may take for one report
    #[arg(long, default_value = "20s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) http_timeout: Duration,
    #[command(flatten)]
    pub(crate) login: LoginFlags,
    /// Of the crashes of one container, each so many is told, beginning with the first
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) modulo_crash_report_notif: i32,
    /// What the names of our annotations begin with
    #[arg(long, default_value = "lunarway.com", value_name = "DOMAIN")]
    pub(crate) annotation_prefix: String,
    /// Port of probes, metrics and Flux's alerts; 0 is any free one, told in the log
    #[arg(long, default_value_t = 3001, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// Directory of reports that are not delivered yet
    /// [default: $XDG_DATA_HOME/release-daemon, ~/.local/share/release-daemon, or
    /// /var/lib/release-daemon without a home]
    #[arg(long, env = "DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Of several replicas let one watch and tell, by a lease in the daemon's namespace
    #[arg(long)]
    pub(crate) leader_election: bool,
    /// How long reports in flight may take when the daemon is told to stop
    #[arg(long, default_value = "25s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) shutdown_timeout: Duration,
    /// How reports get to the server
    #[arg(long, value_enum, default_value_t = BrokerType::Http)]
    pub(crate) broker_type: BrokerType,
    #[command(flatten)]
    pub(crate) amqp: AmqpFlags,
    #[command(flatten)]
    pub(crate) log: LogFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerType {
    /// To the server's webhooks
    Http,
    /// Through RabbitMQ, which the server listens to
    Amqp,
}

/// Only for HTTP. A token of the server goes first.
#[derive(Args)]
#[command(next_help_heading = "Login")]
pub(crate) struct LoginFlags {
    /// One of the server's tokens for daemons; better given in the environment, where `ps` does not show it
    #[arg(long, env = "DAEMON_AUTH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    auth_token: Option<Secret>,
    /// Identity provider to log in at, if no token of the server is given
    #[arg(long, env = "DAEMON_IDP_URL", value_name = "URL", requires = "client_id")]
    idp_url: Option<String>,
    /// What the daemon is called there
    #[arg(long, env = "DAEMON_CLIENT_ID", value_name = "ID", requires = "client_secret")]
    client_id: Option<String>,
    /// Its secret; better given in the environment
    #[arg(long, env = "DAEMON_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    client_secret: Option<Secret>,
    // The alias is how the field's daemon spells it.
    /// What to ask for
    #[arg(
        long,
        env = "DAEMON_SCOPE",
        alias = "deamon-scope",
        value_name = "SCOPE",
        default_value = "release_daemon"
    )]
    daemon_scope: String,
}

#[derive(Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogFlags {
    /// Least important level that is logged: error, warn, info, debug or trace; single parts can have
    /// their own, as in `info,release_cluster=debug`
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

impl StartFlags {
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }
}

impl LoginFlags {
    /// A variable that is set to nothing is not set.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let token = self.auth_token.clone().filter(|token| !token.expose().is_empty());
        if let Some(token) = token {
            return Ok(Credentials::Token(token));
        }
        let idp_url = self.idp_url.as_ref().filter(|url| !url.is_empty());
        let (Some(idp_url), Some(client_id)) = (idp_url, self.client_id.clone()) else {
            bail!(
                "the server wants to know who tells; give one of its daemon tokens in DAEMON_AUTH_TOKEN, or log in \
                 with --idp-url"
            );
        };
        let url = parse_provider_url(idp_url)
            .map_err(|error| anyhow::anyhow!("--idp-url (DAEMON_IDP_URL) {error}"))?;
        let scopes = self.daemon_scope.split_whitespace().map(str::to_owned).collect();
        let client_secret = self.client_secret.clone();
        let config = ProviderConfig { url, client_id, client_secret, scopes };
        Ok(Credentials::Machine(Arc::new(MachineLogin::new(config))))
    }
}

fn default_data_dir() -> PathBuf {
    let directory =
        |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_DATA_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("release-daemon")
}
