//! What runs in a Kubernetes cluster. The only crate that names Kubernetes.
//!
//! [`Cluster::watch`] follows workloads and pods. What it sees goes into an index that
//! knows no client and decides by itself what is to be told. That comes out as
//! [`Happening`]s, which somebody else delivers; once one was accepted,
//! [`Cluster::observe`] notes it in the cluster. [`States`] are for what is there
//! right now.

mod cluster;
mod connect;
mod failure;
mod happening;
mod index;
mod lease;
mod logs;
mod managed;
mod resources;
mod slim;
mod states;
mod watch;

pub use cluster::{Cluster, ObserveError, OnRestart};
pub use connect::{ConnectError, connect};
pub use happening::{Happening, Observation};
pub use index::{Alert, Rules};
pub use kube::Client;
pub use lease::Lease;
pub use managed::Annotations;
pub use states::States;
