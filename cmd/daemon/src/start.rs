//! `daemon start`

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use anyhow::{Context, bail};
use futures::future::join_all;
use release_cluster::{Annotations, Client, Cluster, Happening, Lease, Rules};
use release_core::full_message;
use release_telemetry::{DaemonMetrics, Traces, logs};
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    delivery::Delivery,
    flags::{BrokerType, StartFlags},
    health::Health,
    http::{self, AppState},
    lifecycle::Lifecycle,
    pauses::Pauses,
    spool::Spool,
    states,
    target::Target,
};

const LEASE: &str = "release-daemon";
/// How many happenings wait for the disk before the watches do.
const UNSAVED: usize = 64;

/// Runs until a signal, and then until all that is in flight has arrived or its time is up.
pub(crate) async fn run(flags: StartFlags) -> anyhow::Result<()> {
    let traces = Traces::from_env("release-daemon")?;
    logs::init(&flags.log.level, flags.log.development, &traces)?;
    let lifecycle = Lifecycle::of_this_process().context("signals cannot be received")?;
    tokio::select! {
        result = serve(&flags, &lifecycle) => result,
        () = lifecycle.out_of_time(flags.shutdown_timeout) => {
            bail!("stopped before all had arrived; the rest is told after the next start")
        }
    }
}

async fn serve(flags: &StartFlags, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let data_dir = flags.data_dir();
    make_data_dir(&data_dir)?;
    let client = release_cluster::connect(flags.kubeconfig.as_deref()).await?;
    let target = Arc::new(Target::open(flags)?);
    let spool = spawn_blocking(move || Spool::open(&data_dir)).await.context("opening the spool broke")?;
    let spool = Arc::new(spool.context("reports that wait cannot be read")?);
    let (health, metrics) = (Health::default(), DaemonMetrics::new());

    let state = AppState::new(Arc::clone(&spool), health.clone(), metrics.clone());
    let listener = http::listen(flags.http_port).await?;
    let port = listener.local_addr().context("the port cannot be read")?.port();
    tracing::info!(port, "Listening");
    let stop = lifecycle.stopping();
    let connections = tokio::spawn(http::serve(listener, http::router(state.clone()), stop.clone()));

    let daemon = Daemon { rules: rules(flags), client, target, spool, health, metrics, state };
    // A large future: all watches are in it.
    let result = Box::pin(daemon.run(flags, stop.clone())).await;
    stop.cancel();
    connections.await.context("the HTTP server broke")?;
    tracing::info!("Stopped");
    result
}

fn rules(flags: &StartFlags) -> Rules {
    Rules {
        environment: flags.environment.to_string(),
        annotations: Annotations::new(&flags.annotation_prefix),
        crash_modulo: flags.modulo_crash_report_notif,
    }
}

/// Makes the directory that everything else is in. Nobody else may read it: logs of containers are in it.
fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).with_context(|| {
        format!("the data directory {} cannot be made; choose another with --data-dir", data_dir.display())
    })
}

struct Daemon {
    rules: Rules,
    client: Client,
    target: Arc<Target>,
    spool: Arc<Spool>,
    health: Health,
    metrics: DaemonMetrics,
    state: AppState,
}

impl Daemon {
    async fn run(self, flags: &StartFlags, stop: CancellationToken) -> anyhow::Result<()> {
        if !flags.leader_election {
            return self.watch_and_tell(flags, stop).await;
        }
        let mut lease = Lease::new(self.client.clone(), LEASE, holder());
        tracing::info!("Waiting for the lease");
        if stop.run_until_cancelled(lease.acquire()).await.is_none() {
            return Ok(());
        }
        tracing::info!("This replica has the lease");
        let result = tokio::select! {
            result = self.watch_and_tell(flags, stop) => result,
            // All that is under way ends here, and the orchestrator starts the process anew.
            reason = lease.keep() => bail!("the lease was lost, {reason}; start the daemon again"),
        };
        lease.release().await;
        result
    }

    async fn watch_and_tell(self, flags: &StartFlags, stop: CancellationToken) -> anyhow::Result<()> {
        let metrics = self.metrics.clone();
        let on_restart = Arc::new(move |kind: &str| metrics.count_watch_restart(kind));
        let cluster = Cluster::new(self.client, self.rules, on_restart);
        for happening in self.spool.waiting().await.context("reports that wait cannot be read")? {
            happening.observation.iter().for_each(|observation| cluster.assume_told(observation));
        }
        self.state.watching(cluster.clone());
        tracing::info!(
            environment = %flags.environment,
            cluster = flags.kubeconfig.as_ref().map_or("this one".into(), |path| path.display().to_string()),
            tells = told(flags),
            "Watching Deployments, StatefulSets, DaemonSets, Jobs and Pods of all namespaces"
        );
        let delivery = Delivery::new(
            Arc::clone(&self.spool),
            Arc::clone(&self.target),
            cluster.clone(),
            self.health.clone(),
            self.metrics,
            stop.clone(),
        );
        let (happenings, unsaved) = mpsc::channel(UNSAVED);
        let watching = async {
            tokio::join!(
                cluster.watch(happenings),
                keep(unsaved, &self.spool),
                states::tell(cluster.states(), self.target, self.health),
            )
        };
        tokio::join!(delivery.run(), stop.run_until_cancelled(watching));
        Ok(())
    }
}

/// Saves happenings in order, those that come together at once. While the disk does not take them, the
/// watches wait.
async fn keep(mut happenings: mpsc::Receiver<Happening>, spool: &Spool) {
    let mut together = Vec::new();
    while happenings.recv_many(&mut together, UNSAVED).await > 0 {
        let mut pauses = Pauses::new();
        loop {
            // Keeping one again does nothing.
            let kept = join_all(together.iter().map(|happening| spool.keep(happening))).await;
            let Some(error) = kept.into_iter().find_map(Result::err) else { break };
            tracing::error!(reason = full_message(&error), "reports cannot be kept; trying again");
            sleep(pauses.next()).await;
        }
        together.clear();
    }
}

fn told(flags: &StartFlags) -> String {
    match flags.broker_type {
        BrokerType::Http => flags.release_manager_url.to_string(),
        BrokerType::Amqp => flags.amqp.shown(),
    }
}

/// Nobody else's: the pod's name, and something that no earlier process of it had.
fn holder() -> String {
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "daemon".to_owned());
    format!("{pod}_{}", Uuid::new_v4())
}
