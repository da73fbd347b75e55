//! deploy/ and the real daemon against a real Kubernetes: etcd, API server and controllers.
//!
//! `make e2e-kubernetes` runs it; `cargo test` does not.

mod daemon;
mod manifests;

#[path = "../e2e/harness"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod harness {
    mod daemon;
    mod program;
    mod wait;

    pub(crate) use daemon::Daemon;
    pub(crate) use program::{program, run};
    pub(crate) use wait::{LONG, until};
}
