//! The part of Kubernetes' API that watches, reports and elects, as a real HTTP server:
//! lists in pages, watches, merge patches, logs of pods, leases, discovery.
//!
//! It keeps what clients have to cope with: one growing resource version for everything, a
//! history that ends somewhere (what is older is `410 Gone`), and conflicts. It has no
//! controllers and no authorisation: tests play the controllers, and permissions are tested
//! against [the real control plane](crate::control_plane).

mod answer;
mod discovery;
mod faults;
mod http;
mod kind;
pub mod objects;
mod selector;
mod store;
mod target;
mod watching;

use std::{
    collections::HashMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::Router;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

pub use faults::{Fault, Request, Verb};
pub use kind::Kind;

use self::{faults::Faults, store::Store};

/// Changes of each kind that are remembered, unless a test wants fewer.
const HISTORY: usize = 10_000;

/// Runs as long as the tokio runtime does. Panics on every misuse: it is for tests.
#[derive(Clone)]
pub struct Kubernetes {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The newest resource version, for watches that wait.
    version: watch::Sender<u64>,
    /// How often all watches were cut.
    cuts: watch::Sender<u64>,
}

struct State {
    store: Store,
    faults: Faults,
    /// By namespace, pod and container.
    logs: HashMap<(String, String, String), String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// Writes, and wakes the watches.
    fn write<T>(&self, write: impl FnOnce(&mut Store) -> T) -> T {
        let mut state = self.state();
        let written = write(&mut state.store);
        self.version.send_replace(state.store.version());
        written
    }
}

impl Kubernetes {
    /// With the kinds that every cluster has.
    pub async fn start() -> Self {
        Self::start_with_history(HISTORY).await
    }

    /// Remembers so many changes of each kind.
    pub async fn start_with_history(changes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let store = Store::new(kind::built_in(), changes);
        let state = Mutex::new(State { store, faults: Faults::default(), logs: HashMap::new() });
        let shared = Arc::new(Shared { state, version: watch::Sender::new(0), cuts: watch::Sender::new(0) });
        let router = Router::new().fallback(http::answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For clients that read a file; they reach the server, or something in front of it, at the URL.
    pub fn write_kubeconfig(directory: &Path, url: &str) -> PathBuf {
        let path = directory.join("kubeconfig");
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": url}}],
            "users": [{"name": "fake", "user": {"token": "fake"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "default"}}],
            "current-context": "fake",
        });
        fs::write(&path, config.to_string()).expect("a file");
        path
    }

    /// As a `CustomResourceDefinition` would.
    pub fn define(&self, kind: Kind) {
        self.shared.state().store.define(kind);
    }

    /// Creates or replaces an object, with its status, as a controller does.
    pub fn put(&self, object: Value) -> Value {
        self.shared.write(|store| store.put(object)).expect("an object of a kind that is there")
    }

    /// Changes an object, if it is there. `kind` is as in [`objects`], such as `Deployment`.
    pub fn update(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut object =
            self.get(kind, namespace, name).unwrap_or_else(|| panic!("no {kind} {namespace}/{name}"));
        change(&mut object);
        self.put(object)
    }

    pub fn remove(&self, kind: &str, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared
            .write(|store| {
                let kind = store.kind_called(kind);
                store.remove(&kind, &key)
            })
            .expect("the object is there");
    }

    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.shared.state();
        let kind = state.store.kind_called(kind);
        state.store.get(&kind, &(namespace.to_owned(), name.to_owned()))
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        let state = self.shared.state();
        let kind = state.store.kind_called(kind);
        state.store.snapshot(&kind).objects.len()
    }

    /// Everything that a container has written.
    pub fn set_log(&self, namespace: &str, pod: &str, container: &str, log: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.shared.state().logs.insert(key, log.to_owned());
    }

    /// The newest resource version.
    pub fn version(&self) -> u64 {
        self.shared.state().store.version()
    }

    /// Tells all watches that allow it how far they are.
    pub fn bookmark(&self) {
        self.shared.write(Store::bookmark);
    }

    /// Breaks all watches off, in the middle of their answers.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on all versions before this moment are `410 Gone`, for watches that run, for new ones,
    /// and for further pages of lists.
    pub fn forget_history(&self) {
        self.shared.write(Store::forget);
    }

    /// The next `times` requests of this verb for this plural (such as `pods`) meet a fault.
    pub fn fail(&self, verb: Verb, plural: &str, times: usize, fault: Fault) {
        self.shared.state().faults.add(verb, plural, times, fault);
    }

    /// All requests meet this fault, until it is taken away again.
    pub fn fail_all(&self, fault: Option<Fault>) {
        self.shared.state().faults.set_general(fault);
    }

    /// Requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().faults.seen().to_vec()
    }

    /// How many requests of this verb there were for this plural.
    pub fn requested(&self, verb: Verb, plural: &str) -> usize {
        let is_meant = |request: &&Request| request.verb == verb && request.plural == plural;
        self.shared.state().faults.seen().iter().filter(is_meant).count()
    }

    /// Waits until there were so many such requests; panics after a minute.
    pub async fn wait_for_requests(&self, verb: Verb, plural: &str, count: usize) {
        let all = async {
            while self.requested(verb, plural) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let timely = tokio::time::timeout(Duration::from_mins(1), all).await;
        assert!(timely.is_ok(), "not {count} times {verb:?} {plural}: {:#?}", self.requests());
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kubernetes({})", self.address)
    }
}
