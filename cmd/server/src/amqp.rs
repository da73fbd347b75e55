//! The flags of RabbitMQ, with the names that the field's server has for them.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, builder::BoolishValueParser};
use release_broker::AmqpConfig;
use release_core::Secret;

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// No `Debug`: one of these is a secret.
#[derive(Args)]
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
    /// Exchange that events are published to
    #[arg(long, default_value = "release-manager", value_name = "NAME")]
    amqp_exchange: String,
    /// Queue that events wait in; `<queue>.dead` gets those that failed for good
    #[arg(long, default_value = "release-manager", value_name = "NAME", value_parser = queue_name)]
    amqp_queue: String,
    /// How many events are worked on at once; they share pushes
    #[arg(long, default_value_t = 500, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    amqp_prefetch: u16,
    /// How long connecting to RabbitMQ and logging in may take
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    amqp_connection_timeouts: Duration,
    /// How long declaring exchange and queues may take
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    amqp_init_timeouts: Duration,
    /// The longest pause between two attempts to connect
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    amqp_reconnection_timeouts: Duration,
}

impl AmqpFlags {
    /// `request_timeout` is that of whoever waits for an event to be accepted: we give up before.
    pub(crate) fn config(&self, request_timeout: Duration) -> anyhow::Result<AmqpConfig> {
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
            publish_timeout: request_timeout.mul_f32(0.8),
        })
    }
}

/// With the suffix of the dead ones it has to fit into AMQP's 255 bytes.
fn queue_name(name: &str) -> Result<String, &'static str> {
    if (1..=200).contains(&name.len()) { Ok(name.to_owned()) } else { Err("it must have 1 to 200 bytes") }
}
