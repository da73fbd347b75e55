//! Builds what does the work from the flags.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use anyhow::Context;
use release_broker::{Amqp, Broker, Embedded, Memory};
use release_core::Person;
use release_flow::{Backends, Dispatcher, Flow, Outbox, Retries};
use release_git::{ConfigRepository, Credentials, Options, RemoteOptions, Writer};
use release_notify::Notifiers;
use release_storage::Notifications;
use release_telemetry::Metrics;
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    artifact_storage::{self, ArtifactStorage},
    flags::{BrokerType, GitFlags, StartFlags},
    http::{Backend, webhook::Webhook},
};

/// What goes on while nobody asks.
pub(crate) struct Background {
    dispatcher: Dispatcher,
    writer: Writer,
    notifications: Option<Notifications>,
    flow: Flow,
    metrics: Metrics,
}

impl Background {
    /// Executes accepted events until `stop`; then finishes what is being written.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { dispatcher, writer, notifications, flow, metrics } = self;
        let listening = notifications
            .map(|notifications| artifact_storage::listen(notifications, flow, metrics, stop.clone()));
        let dispatcher_stop = dispatcher.stop_token();
        let dispatching = tokio::spawn(dispatcher.run());
        tokio::spawn(async move {
            stop.cancelled().await;
            dispatcher_stop.cancel();
        });
        dispatching.await.context("the execution of accepted events broke; start the server again")?;
        if let Some(listening) = listening {
            listening.await.context("listening for new artifacts broke; start the server again")?;
        }
        spawn_blocking(move || writer.close()).await.context("the writer of the config repository broke")
    }
}

/// Opens everything in the data directory. Takes as long as cloning the config repository does.
/// `port` is the one that is listened on.
pub(crate) async fn open(
    flags: &StartFlags,
    port: u16,
    metrics: Metrics,
) -> anyhow::Result<(Backend, Background)> {
    let data_dir = flags.data_dir();
    let broker = open_broker(flags, &data_dir.join("events.redb"), &metrics)?;
    let outbox = open_outbox(flags, &data_dir, metrics.clone())?;
    let ArtifactStorage { storage, uploads, notifications } =
        artifact_storage::open(flags, &data_dir, port).await?;
    // Uploads to the server itself are always noticed.
    metrics.set_artifact_notifications_up(notifications.is_none());
    let options = git_options(&flags.git, &data_dir, metrics.clone());
    let (repository, writer) = spawn_blocking(move || ConfigRepository::open(&options))
        .await
        .context("opening the config repository broke")??;
    tokio::spawn(observe(repository.problem(), metrics.clone(), Metrics::set_remote_up));

    let restrictions = Arc::new(flags.policies.restrictions.clone());
    let (flow, dispatcher) = Flow::new(Backends {
        repository,
        writer: writer.clone(),
        storage,
        broker,
        outbox,
        metrics: metrics.clone(),
        restrictions,
    })
    .await?;
    let webhook = Webhook::new(flags.webhook.secret(), &flags.git.config_repo);
    let background = Background { dispatcher, writer, notifications, flow: flow.clone(), metrics };
    Ok((Backend { flow, uploads, webhook }, background))
}

/// Makes the directory that everything else is in. Nobody else may read it: it holds tokens and keys.
pub(crate) fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).with_context(|| {
        format!("the data directory {} cannot be made; choose another with --data-dir", data_dir.display())
    })
}

async fn observe(
    mut problem: watch::Receiver<Option<String>>,
    metrics: Metrics,
    set_up: impl Fn(&Metrics, bool),
) {
    loop {
        let is_up = problem.borrow_and_update().is_none();
        set_up(&metrics, is_up);
        if problem.changed().await.is_err() {
            return;
        }
    }
}

/// Its notifications are this server's own, so they are not in RabbitMQ.
fn open_outbox(flags: &StartFlags, data_dir: &Path, metrics: Metrics) -> anyhow::Result<Outbox> {
    let notifiers = Notifiers::new(flags.notifications.config()?)?;
    let broker: Arc<dyn Broker> = match flags.broker.broker_type {
        BrokerType::Embedded | BrokerType::Amqp => {
            Arc::new(Embedded::open(&data_dir.join("notifications.redb"))?)
        }
        BrokerType::Memory => Arc::new(Memory::new(flags.broker.memory_queue_size)),
    };
    Ok(Outbox::new(notifiers, broker, Retries::default(), metrics))
}

/// `file` is where events wait on disk, if they do.
fn open_broker(flags: &StartFlags, file: &Path, metrics: &Metrics) -> anyhow::Result<Arc<dyn Broker>> {
    metrics.set_broker_up(true);
    Ok(match flags.broker.broker_type {
        BrokerType::Embedded => Arc::new(Embedded::open(file)?),
        BrokerType::Memory => Arc::new(Memory::new(flags.broker.memory_queue_size)),
        BrokerType::Amqp => {
            let broker = Amqp::start(flags.broker.amqp.config(flags.timeout)?);
            tokio::spawn(observe(broker.problem(), metrics.clone(), Metrics::set_broker_up));
            Arc::new(broker)
        }
    })
}

fn git_options(flags: &GitFlags, data_dir: &Path, metrics: Metrics) -> Options {
    let credentials = Credentials {
        ssh_key: flags.ssh_key(),
        ssh_known_hosts: flags.ssh_known_hosts(data_dir),
        ssh_accept_new_host_keys: flags.ssh_accept_new_host_keys,
        https_token: flags.git_https_token.clone(),
    };
    Options {
        directory: data_dir.join("config-repository.git"),
        remote: RemoteOptions { url: flags.config_repo.clone(), credentials, timeout: flags.git_timeout },
        branch: flags.config_branch.clone(),
        committer: Person::new(&flags.git_user, &flags.git_email),
        signing: flags.signing(),
        poll_interval: flags.git_poll_interval,
        max_pushes_per_minute: flags.git_max_pushes_per_minute,
        on_push: Arc::new(move |commits| metrics.observe_batch(commits)),
    }
}
