//! A real RabbitMQ, as Debian packages it, on ports and a directory of its own.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{guarded::Guarded, port};

/// The account that RabbitMQ comes with, which only works from this machine.
pub const USER: &str = "guest";
pub const PASSWORD: &str = "guest";

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// Takes 5 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// Lives as long as the value, and never longer than this process. Panics on every
/// failure: it is for tests.
pub struct RabbitMq {
    directory: TempDir,
    ports: Ports,
    http: Client,
    hosts: AtomicUsize,
    making_hosts: tokio::sync::Mutex<()>,
    _names: Guarded,
    server: Option<Guarded>,
}

struct Ports {
    amqp: u16,
    tls: u16,
    management: u16,
    distribution: u16,
    names: u16,
}

impl RabbitMq {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ports = Ports {
            amqp: port::free(),
            tls: port::free(),
            management: port::free(),
            distribution: port::free(),
            names: port::free(),
        };
        write_configuration(directory.path(), &ports);
        let mut names = Command::new("epmd");
        names.args(["-address", "127.0.0.1", "-port", &ports.names.to_string()]);
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        let mut rabbitmq = Self {
            directory,
            ports,
            http,
            hosts: AtomicUsize::new(0),
            making_hosts: tokio::sync::Mutex::default(),
            _names: Guarded::spawn(&names),
            server: None,
        };
        rabbitmq.restart().await;
        rabbitmq
    }

    /// One for all tests of this process that leave it as it is.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Kills it, and starts it again on the same data; returns when it works.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_until_up().await;
    }

    pub fn kill(&mut self) {
        self.server = None;
    }

    fn spawn(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("output")).expect("a file");
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        self.environment(&mut command);
        self.server = Some(Guarded::spawn_to(&command, log));
    }

    async fn wait_until_up(&self) {
        let started = Instant::now();
        while self.api(Method::GET, "health/checks/virtual-hosts", None).await != Some(StatusCode::OK) {
            let output = || fs::read_to_string(self.path("output")).unwrap_or_default();
            assert!(started.elapsed() < START_TIMEOUT, "RabbitMQ does not start: {}", output());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    pub fn tls_port(&self) -> u16 {
        self.ports.tls
    }

    /// The certificate of the authority that made RabbitMQ's, which is for `localhost`.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A new virtual host: nobody else's queues are in it.
    pub async fn virtual_host(&self) -> String {
        // Of several that are made at the same time, RabbitMQ now and then starts one not or not for long.
        let _turn = self.making_hosts.lock().await;
        for _ in 0..5 {
            let name = format!("test-{}", self.hosts.fetch_add(1, Ordering::Relaxed));
            self.put(&format!("vhosts/{name}"), json!({})).await;
            let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
            self.put(&format!("permissions/{name}/{USER}"), all).await;
            if self.is_running(&name).await {
                return name;
            }
        }
        panic!("RabbitMQ starts no virtual host");
    }

    async fn is_running(&self, virtual_host: &str) -> bool {
        let url = format!("http://127.0.0.1:{}/api/vhosts/{virtual_host}", self.ports.management);
        let Ok(answer) = self.http.get(url).basic_auth(USER, Some(PASSWORD)).send().await else {
            return false;
        };
        let Ok(host) = answer.json::<Value>().await else { return false };
        let states = host["cluster_state"].as_object();
        states.is_some_and(|states| !states.is_empty() && states.values().all(|state| state == "running"))
    }

    /// As somebody else would, who chose other arguments.
    pub async fn declare_queue(&self, virtual_host: &str, queue: &str, arguments: Value) {
        self.put(&format!("queues/{virtual_host}/{queue}"), json!({"durable": true, "arguments": arguments}))
            .await;
    }

    pub async fn delete_queue(&self, virtual_host: &str, queue: &str) {
        let status = self.api(Method::DELETE, &format!("queues/{virtual_host}/{queue}"), None).await;
        assert_eq!(status, Some(StatusCode::NO_CONTENT));
    }

    /// Pretends that the disk is full, or that it has room again.
    pub async fn set_disk_alarm(&self, on: bool) {
        self.control(&["set_disk_free_limit", if on { "1000000GB" } else { "1MB" }]).await;
    }

    /// Closes all connections, as an operator would.
    pub async fn close_connections(&self) {
        self.control(&["close_all_connections", "a test"]).await;
    }

    /// `rabbitmqctl`.
    pub async fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        self.environment(&mut command);
        command.args(arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        let output = output.expect("rabbitmqctl is installed");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Again when there was no answer: that is a busy machine.
    async fn put(&self, path: &str, body: Value) {
        for _ in 0..5 {
            let status = self.api(Method::PUT, path, Some(body.clone())).await;
            if let Some(status) = status {
                assert!(status.is_success(), "{path}: {status}");
                return;
            }
        }
        panic!("RabbitMQ does not answer to {path}");
    }

    async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Option<StatusCode> {
        let url = format!("http://127.0.0.1:{}/api/{path}", self.ports.management);
        let request = self.http.request(method, url).basic_auth(USER, Some(PASSWORD));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        Some(request.send().await.ok()?.status())
    }

    fn environment(&self, command: &mut Command) {
        let path = |name| self.path(name);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("HOME", self.directory.path())
            // The node's name decides the directory of its data.
            .env("RABBITMQ_NODENAME", "test@localhost")
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.ports.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                // One scheduler thread: tests share the machine.
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn write_configuration(directory: &Path, ports: &Ports) {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("a file");
    write(".erlang.cookie", "cookie");
    let only_ours = fs::Permissions::from_mode(0o400);
    fs::set_permissions(directory.join(".erlang.cookie"), only_ours).expect("a mode");
    write("enabled_plugins", "[rabbitmq_management].");
    make_certificates(directory);
    let mut configuration = format!(
        "listeners.tcp.default = 127.0.0.1:{}\nlisteners.ssl.default = 127.0.0.1:{}\n\
         management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\ndisk_free_limit.absolute = 1MB\n",
        ports.amqp, ports.tls, ports.management
    );
    for (option, file) in [("cacertfile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key")] {
        let _ = writeln!(configuration, "ssl_options.{option} = {}", directory.join(file).display());
    }
    write("rabbitmq.conf", &configuration);
}

fn make_certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(directory).env_remove("OPENSSL_CONF");
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
    openssl(&format!(
        "req -x509 -CA ca.pem -CAkey ca.key {key} -keyout server.key -out server.pem -subj /CN=localhost -days 2 \
         -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost \
         -addext extendedKeyUsage=serverAuth"
    ));
}
