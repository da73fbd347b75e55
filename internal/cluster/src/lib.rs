//! What runs in a Kubernetes cluster. The only crate that names Kubernetes.

pub use kube::Client;
