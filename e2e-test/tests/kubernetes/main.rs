//! deploy/ and the real daemon against a real Kubernetes: etcd, API server and controllers.
//!
//! `make e2e-kubernetes` runs it; `cargo test` does not.

mod manifests;
