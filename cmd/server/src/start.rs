//! `server start`

use std::net::Ipv6Addr;

use anyhow::{Context, bail};
use release_telemetry::{Metrics, Traces, logs};
use tokio::net::TcpListener;

use crate::{
    flags::StartFlags,
    http::{self, AppState, login::Logins},
    lifecycle::Lifecycle,
    tokens, wiring,
};

/// Runs until a signal, and then until all that is in flight is done or its time is up.
pub(crate) async fn run(flags: StartFlags) -> anyhow::Result<()> {
    let traces = Traces::from_env("release-manager")?;
    logs::init(&flags.log.level, flags.log.development, &traces)?;
    let lifecycle = Lifecycle::of_this_process().context("signals cannot be received")?;
    tokio::select! {
        result = serve(&flags, &lifecycle) => result,
        () = lifecycle.out_of_time(flags.shutdown_timeout) => {
            bail!("stopped before all was finished; what was accepted goes on after the next start")
        }
    }
}

async fn serve(flags: &StartFlags, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    wiring::make_data_dir(&flags.data_dir())?;
    let metrics = Metrics::new();
    let logins = open_logins(flags, &metrics)?;
    let state = AppState::new(metrics.clone());
    let router = http::router(state.clone(), &logins, flags.timeout);
    let listener = listen(flags.http_port).await?;
    let port = listener.local_addr().context("the port cannot be read")?.port();
    tracing::info!(port, "Listening");
    let connections = tokio::spawn(http::serve(listener, router, lifecycle.stopping()));

    let opened = tokio::select! {
        opened = wiring::open(flags, port, metrics) => Some(opened?),
        () = lifecycle.stopping().cancelled_owned() => None,
    };
    if let Some((backend, background)) = opened {
        state.started(backend);
        tracing::info!("Ready");
        background.run(lifecycle.stopping()).await?;
    }
    connections.await.context("the HTTP server broke")?;
    tracing::info!("Stopped");
    Ok(())
}

/// The identity providers are asked for their keys from here on.
fn open_logins(flags: &StartFlags, metrics: &Metrics) -> anyhow::Result<Logins> {
    let tokens = tokens::load(flags.tokens.tokens(), flags.identity.are_given(), &flags.data_dir())?;
    metrics.set_identity_providers_up(true);
    let verifier = flags.identity.open(&flags.data_dir())?.map(|(verifier, update)| {
        let metrics = metrics.clone();
        tokio::spawn(update.run(move |up| metrics.set_identity_providers_up(up)));
        verifier
    });
    let jwt = verifier.map(|verifier| (verifier, flags.identity.scopes()));
    Ok(Logins { tokens, jwt, metrics: metrics.clone() })
}

/// On all addresses, of IPv6 and IPv4 where the machine has both.
async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        return Ok(listener);
    }
    TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("port {port} cannot be listened on; choose another with --http-port"))
}
