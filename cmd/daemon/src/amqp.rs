//! The flags of RabbitMQ, as `server start` has them.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, builder::BoolishValueParser};
use release_broker::AmqpConfig;
use release_core::Secret;

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// No `Debug`: one of these is a secret.
#[derive(Args)]
#[command(next_help_heading = "RabbitMQ")]
#[expect(clippy::struct_field_names, reason = "the flags are named after them")]
pub(crate) struct AmqpFlags {
    /// Host of RabbitMQ
    #[arg(long, env = "AMQP_HOST", default_value = "localhost", value_name = "HOST")]
    amqp_host: String,
    /// Port of RabbitMQ [default: 5672, or 5671 with TLS]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    amqp_port: Option<u16>,
    /// User of RabbitMQ
    #[arg(long, env = "AMQP_USER", default_value = "guest", value_name = "NAME")]
    amqp_user: String,
    /// Password of that user
    #[arg(
        long,
        env = "AMQP_PASSWORD",
        hide_env_values = true,
        default_value = "guest",
        hide_default_value = true,
        value_name = "PASSWORD"
    )]
    amqp_password: Secret,
    /// Virtual host of RabbitMQ
    #[arg(long, default_value = "/", value_name = "NAME")]
    amqp_virtualhost: String,
    /// Speak TLS to RabbitMQ
    #[arg(
        long, default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true
    )]
    amqp_tls: bool,
    /// Certificates of authorities that RabbitMQ's certificate may be of, besides the machine's, as PEM
    #[arg(long, value_name = "FILE")]
    amqp_tls_ca: Option<PathBuf>,
    /// Exchange to publish to
    #[arg(long, default_value = "release-manager", value_name = "NAME")]
    amqp_exchange: String,
    /// How long connecting to RabbitMQ and logging in may take
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    amqp_connection_timeouts: Duration,
    // The queue is the server's. These are accepted so that both can be given the same flags.
    #[arg(long, default_value = "release-manager", hide = true)]
    amqp_queue: String,
    #[arg(long, default_value_t = 500, hide = true)]
    amqp_prefetch: u16,
    #[arg(long, default_value = "10s", hide = true, value_parser = humantime::parse_duration)]
    amqp_init_timeouts: Duration,
    #[arg(long, default_value = "5s", hide = true, value_parser = humantime::parse_duration)]
    amqp_reconnection_timeouts: Duration,
}

impl AmqpFlags {
    /// `timeout` is for the confirmation of one event.
    pub(crate) fn config(&self, timeout: Duration) -> anyhow::Result<AmqpConfig> {
        let authorities = self.amqp_tls_ca.as_ref().map(|file| {
            fs::read_to_string(file)
                .with_context(|| format!("the file of --amqp-tls-ca, {}, cannot be read", file.display()))
        });
        Ok(AmqpConfig {
            host: self.amqp_host.clone(),
            port: self.amqp_port.unwrap_or(if self.amqp_tls { TLS_PORT } else { PORT }),
            user: self.amqp_user.clone(),
            password: self.amqp_password.clone(),
            virtual_host: self.amqp_virtualhost.clone(),
            tls: self.amqp_tls,
            ca_certificates: authorities.transpose()?,
            exchange: self.amqp_exchange.clone(),
            queue: self.amqp_queue.clone(),
            prefetch: self.amqp_prefetch,
            connection_timeout: self.amqp_connection_timeouts,
            init_timeout: self.amqp_init_timeouts,
            reconnection_timeout: self.amqp_reconnection_timeouts,
            publish_timeout: timeout,
        })
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> String {
        format!("RabbitMQ at {}, exchange {}", self.amqp_host, self.amqp_exchange)
    }
}
