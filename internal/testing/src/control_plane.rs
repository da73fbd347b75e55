//! A real Kubernetes without nodes: etcd, API server and controllers, on ports of this
//! machine. Whoever tests with it plays the kubelet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{guarded::Guarded, port};

const TOKEN: &str = "admin";
/// Takes 5 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// Lives as long as the value, and never longer than this process. Panics on every
/// failure: it is for tests.
pub struct ControlPlane {
    directory: TempDir,
    port: u16,
    http: Client,
    _processes: [Guarded; 3],
}

impl ControlPlane {
    /// All of it works when this returns.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (path, port) = (directory.path(), port::free());
        make_key(path);
        fs::write(path.join("tokens"), format!("{TOKEN},admin,admin,system:masters\n")).expect("a file");
        let store_port = port::free();
        let etcd = guarded(path, "etcd", &etcd_flags(path, store_port));
        let api_server = guarded(path, "kube-apiserver", &api_server_flags(path, port, store_port));
        let http = client(path, port).await;
        write_kubeconfig(path, port, "default", "admin", TOKEN);
        let controllers = guarded(path, "kube-controller-manager", &controller_flags(path));
        let started = Self { directory, port, http, _processes: [etcd, api_server, controllers] };
        started.wait_for_controllers().await;
        started
    }

    /// The namespace controller makes this account for each namespace.
    async fn wait_for_controllers(&self) {
        let path = "api/v1/namespaces/default/serviceaccounts/default";
        let started = Instant::now();
        while self.call(Method::GET, path, None).await.0 != StatusCode::OK {
            assert!(started.elapsed() < START_TIMEOUT, "{}", logs(self.directory.path()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its name is given back.
    pub async fn create_namespace<'a>(&self, name: &'a str) -> &'a str {
        self.create("api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        name
    }

    /// At the path of a collection, such as `apis/apps/v1/namespaces/dev/deployments`.
    pub async fn create(&self, collection: &str, object: &Value) -> Value {
        self.ok(Method::POST, collection, Some(object)).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, None).await
    }

    /// A merge patch.
    pub async fn patch(&self, path: &str, change: &Value) -> Value {
        self.ok(Method::PATCH, path, Some(change)).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.ok(Method::DELETE, path, None).await
    }

    async fn ok(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer:#}");
        answer
    }

    /// As an administrator.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let url = format!("https://127.0.0.1:{}/{path}", self.port);
        let request = self.http.request(method, url).bearer_auth(TOKEN).header("content-type", media);
        let request = if let Some(body) = body { request.body(body.to_string()) } else { request };
        let answer = request.send().await.expect("the API server answers");
        (answer.status(), answer.json().await.expect("it answers with JSON"))
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.path().join("admin.kubeconfig")
    }

    /// The credentials that a pod with this service account has.
    pub async fn account_kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let path = format!("api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.create(&path, &json!({"spec": {"expirationSeconds": 3600}})).await;
        let token = answer["status"]["token"].as_str().expect("a token");
        write_kubeconfig(self.directory.path(), self.port, namespace, account, token)
    }

    /// As an administrator. What it prints, when it went well.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.admin_kubeconfig()).args(arguments);
        // It keeps what it discovers there.
        command.env("HOME", self.directory.path()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        let Output { status, stdout, stderr } = output.expect("kubectl is installed");
        assert!(status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("text")
    }
}

fn guarded(directory: &Path, name: &str, flags: &[String]) -> Guarded {
    let log = fs::File::create(directory.join(name).with_extension("log")).expect("a log file");
    let mut command = Command::new(program(name));
    command.args(flags);
    Guarded::spawn_to(&command, log)
}

fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/control-plane").join(name);
    assert!(program.exists(), "{} is missing; run `make e2e-kubernetes`", program.display());
    program
}

fn etcd_flags(directory: &Path, port: u16) -> Vec<String> {
    let peers = format!("http://127.0.0.1:{}", port::free());
    let clients = format!("http://127.0.0.1:{port}");
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ]
}

fn api_server_flags(directory: &Path, port: u16, store_port: u16) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{store_port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        // No endpoint may be a loopback address.
        "--endpoint-reconciler-type=none".into(),
        format!("--secure-port={port}"),
        // It makes itself a certificate there.
        format!("--cert-dir={}", path("certificates")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", path("account.key")),
        format!("--service-account-signing-key-file={}", path("account.key")),
        format!("--token-auth-file={}", path("tokens")),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        // Pods would wait for secrets that only nodes read.
        "--disable-admission-plugins=ServiceAccount".into(),
    ]
}

fn controller_flags(directory: &Path) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let mut flags = vec![
        format!("--kubeconfig={}", path("admin.kubeconfig")),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", port::free()),
        format!("--cert-dir={}", path("certificates")),
        "--leader-elect=false".into(),
        format!("--service-account-private-key-file={}", path("account.key")),
    ];
    // Versions before 1.24 listen without TLS, too, on all addresses.
    let help = Command::new(program("kube-controller-manager")).arg("--help").output().expect("its help");
    if String::from_utf8_lossy(&help.stdout).contains("--port int") {
        flags.push("--port=0".into());
    }
    flags
}

/// What tokens of service accounts are signed with.
fn make_key(directory: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["genrsa", "-out", "account.key", "2048"]).current_dir(directory).env_remove("OPENSSL_CONF");
    let output = openssl.output().expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

/// Waits until the API server works, and trusts the certificate that it has made.
async fn client(directory: &Path, port: u16) -> Client {
    let started = Instant::now();
    loop {
        if let Some(client) = try_client(directory)
            && is_ready(&client, port).await
        {
            return client;
        }
        assert!(started.elapsed() < START_TIMEOUT, "it does not start: {}", logs(directory));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn try_client(directory: &Path) -> Option<Client> {
    let pem = fs::read(certificate(directory)).ok()?;
    let trusted = Certificate::from_pem_bundle(&pem).ok()?;
    // Each test has a runtime of its own, and connections end with theirs.
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).pool_max_idle_per_host(0);
    client.tls_certs_only(trusted).build().ok()
}

async fn is_ready(client: &Client, port: u16) -> bool {
    let request = client.get(format!("https://127.0.0.1:{port}/readyz")).bearer_auth(TOKEN);
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}

fn certificate(directory: &Path) -> PathBuf {
    directory.join("certificates/apiserver.crt")
}

fn write_kubeconfig(directory: &Path, port: u16, namespace: &str, user: &str, token: &str) -> PathBuf {
    let path = directory.join(format!("{user}.kubeconfig"));
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"), "certificate-authority": certificate(directory),
    });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": namespace}}],
        "current-context": "test",
    });
    fs::write(&path, config.to_string()).expect("a file");
    path
}

/// The ends of all logs.
fn logs(directory: &Path) -> String {
    let end = |name: &str| {
        let log = fs::read_to_string(directory.join(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"))
    };
    ["etcd.log", "kube-apiserver.log", "kube-controller-manager.log"].map(end).concat()
}
