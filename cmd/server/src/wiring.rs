//! Builds what does the work from the flags.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use anyhow::Context;
use release_broker::{Broker, Embedded, Memory};
use release_core::Person;
use release_flow::Flow;
use release_git::{ConfigRepository, Credentials, Options, RemoteOptions};
use release_storage::DirectoryStore;
use release_telemetry::Metrics;
use tokio::task::spawn_blocking;

use crate::{
    flags::{BrokerFlags, BrokerType, GitFlags, StartFlags},
    http::Backend,
};

/// Opens everything in the data directory. Takes as long as cloning the config repository does.
pub(crate) async fn build_backend(flags: &StartFlags, metrics: &Metrics) -> anyhow::Result<Backend> {
    let data_dir = flags.data_dir();
    // Holds tokens and keys.
    DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).with_context(|| {
        format!("the data directory {} cannot be made; choose another with --data-dir", data_dir.display())
    })?;
    let store =
        DirectoryStore::open(&data_dir.join("storage"), flags.external_url(), flags.artifacts.limits())?;
    let flow = build_flow(flags, &data_dir, store.clone(), metrics).await?;
    Ok(Backend { flow, store })
}

async fn build_flow(
    flags: &StartFlags,
    data_dir: &Path,
    _store: DirectoryStore,
    _metrics: &Metrics,
) -> anyhow::Result<Flow> {
    let _broker = open_broker(&flags.broker, data_dir)?;
    let options = git_options(&flags.git, data_dir);
    let (_repository, _writer) = spawn_blocking(|| ConfigRepository::open(options)).await??;
    Ok(Flow {})
}

fn open_broker(flags: &BrokerFlags, data_dir: &Path) -> anyhow::Result<Arc<dyn Broker>> {
    Ok(match flags.broker_type {
        BrokerType::Embedded => Arc::new(Embedded::open(&data_dir.join("events.redb"))?),
        BrokerType::Memory => Arc::new(Memory::new(flags.memory_queue_size)),
    })
}

fn git_options(flags: &GitFlags, data_dir: &Path) -> Options {
    let credentials = Credentials { ssh_key: flags.ssh_key(), ..Credentials::default() };
    Options {
        directory: data_dir.join("config-repository.git"),
        remote: RemoteOptions { url: flags.config_repo.clone(), credentials, timeout: flags.git_timeout },
        branch: flags.config_branch.clone(),
        committer: Person::new(&flags.git_user, &flags.git_email),
        poll_interval: flags.git_poll_interval,
        max_pushes_per_minute: flags.git_max_pushes_per_minute,
    }
}
