//! A real S3 and SQS on a port of this machine: `LocalStack` without its container.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Any will do; these are what it is usually given.
pub const ACCESS_KEY: &str = "test";
pub const REGION: &str = "us-east-1";

/// It needs about three seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Shared by all tests of a binary; each has a [bucket](S3::bucket) of its own.
pub struct S3 {
    port: u16,
    directory: TempDir,
    /// Ends with all of its children when this end of its standard input is closed, so also when the
    /// test is killed.
    process: Child,
}

impl S3 {
    /// Started by whoever asks first.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let process = command(directory.path(), port).spawn().expect("a shell");
        let mut server = Self { port, directory, process };
        let started = Instant::now();
        while !server.is_well() {
            let ended = server.process.try_wait().expect("its status");
            assert!(ended.is_none(), "LocalStack ended by itself: {}", server.log());
            assert!(started.elapsed() < START_TIMEOUT, "LocalStack does not start: {}", server.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A name that no other test has.
    pub fn bucket() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("artifacts-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn is_well(&self) -> bool {
        let ask = || {
            let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            connection.write_all(b"GET /_localstack/health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).map(|_| answer)
        };
        let answer = ask().unwrap_or_default();
        ["s3", "sqs"].iter().all(|service| answer.contains(&format!("\"{service}\": \"running\"")))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// A Python that has boto3, a client of S3 and SQS which is not ours.
pub fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/localstack/bin/python");
    assert!(python.exists(), "{} is missing; run `.ci/install test`", python.display());
    python
}

fn command(directory: &Path, port: u16) -> Command {
    let log = fs::File::create(directory.join("log")).expect("a log file");
    let mut command = Command::new("sh");
    command
        .args(["-c", r#""$0" -m localstack.runtime.main & cat >/dev/null; kill -KILL 0"#])
        .arg(python())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("FILESYSTEM_ROOT", directory.join("root"))
        .env("LOCALSTACK_VOLUME_DIR", directory.join("volume"))
        .env("DISABLE_EVENTS", "1")
        .env("SKIP_SSL_CERT_DOWNLOAD", "1")
        // Its other server listens on all addresses.
        .env("GATEWAY_SERVER", "hypercorn")
        .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("SERVICES", "s3,sqs")
        .env("EAGER_SERVICE_LOADING", "1")
        .env("S3_SKIP_SIGNATURE_VALIDATION", "0")
        .env("DNS_ADDRESS", "0")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .process_group(0);
    command
}

/// Below the ports that the system gives to outgoing connections, so that it is free for a while.
fn free_port() -> u16 {
    let first = 30_000 + u16::try_from(std::process::id() % 2_000).expect("it is small");
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (first..32_700).find(is_free).expect("a port is free")
}
