//! The way to the API server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// The API server ends a watch after 290 s and says something about every minute: a connection
/// that is silent for longer is dead.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the cluster of {} cannot be used; correct the file of --kubeconfig", path.display())]
    Kubeconfig { path: PathBuf, source: kube::config::KubeconfigError },
    #[error("this is no pod with a service account; run the daemon in a cluster, or give --kubeconfig")]
    NotInCluster(#[source] kube::config::InClusterError),
    #[error("the connection to the cluster cannot be prepared: {0}")]
    Setup(String),
}

/// A client of the cluster that the file names, or else of the one that this process is a pod of.
/// Sends nothing yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        None => Config::incluster().map_err(ConnectError::NotInCluster)?,
        Some(path) => {
            read(path).await.map_err(|source| ConnectError::Kubeconfig { path: path.to_owned(), source })?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| ConnectError::Setup(crate::failure::sentence(&error)))
}

async fn read(path: &Path) -> Result<Config, kube::config::KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}
