//! A real OpenSSH server on a port of its own, in front of an [`Origin`].

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{keys::ssh_key, origin::Origin, port};

/// Listens on the loopback only. Dropping it ends it with all of its connections.
pub struct Sshd {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

/// What a hosting service says to a deploy key that may only read.
const READ_ONLY: &str = r#"case \"$SSH_ORIGINAL_COMMAND\" in git-upload-pack*) eval \"$SSH_ORIGINAL_COMMAND\";; *) echo 'ERROR: The key you are authenticating with has been marked as read only.' >&2; exit 1;; esac"#;

impl Sshd {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = port::free();
        let mut sshd = Self { directory, port, child: None };
        for key in ["host", "user", "reader", "stranger"] {
            ssh_key(&sshd.path(key), "ed25519", "");
        }
        let [user, reader] = ["user.pub", "reader.pub"].map(|key| sshd.read(key));
        fs::write(sshd.path("authorized_keys"), format!("{user}command=\"{READ_ONLY}\" {reader}"))
            .expect("the keys are written");
        fs::write(sshd.path("sshd_config"), sshd.config()).expect("the configuration is written");
        sshd.remember_host_key();
        sshd.restart();
        sshd
    }

    fn config(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n\
             SetEnv PATH={path} HOME={}\n",
            self.port,
            self.path("host").display(),
            self.path("authorized_keys").display(),
            // Nobody's shell start-up files are run.
            self.directory.path().display(),
        )
    }

    /// The `ssh://` URL of a repository.
    pub fn url(&self, origin: &Origin) -> String {
        self.url_of(&origin.path())
    }

    pub fn url_of(&self, path: &Path) -> String {
        let output = Command::new("id").arg("-un").output().expect("the name of the user");
        let user = String::from_utf8_lossy(&output.stdout);
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, path.display())
    }

    /// A private key that may do everything.
    pub fn key(&self) -> PathBuf {
        self.path("user")
    }

    /// A private key that may only read.
    pub fn read_only_key(&self) -> PathBuf {
        self.path("reader")
    }

    /// A private key that the server does not know.
    pub fn strangers_key(&self) -> PathBuf {
        self.path("stranger")
    }

    /// A file with the host key that the server had at first.
    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    /// Puts the present host key into [`Sshd::known_hosts`].
    pub fn remember_host_key(&self) {
        let line = format!("[127.0.0.1]:{} {}", self.port, self.read("host.pub"));
        fs::write(self.known_hosts(), line).expect("the file is written");
    }

    /// Gives the server another host key. It has to be stopped.
    pub fn change_host_key(&self) {
        assert!(self.child.is_none(), "a server reads its keys when it starts");
        for half in ["host", "host.pub"] {
            fs::remove_file(self.path(half)).expect("the key is there");
        }
        ssh_key(&self.path("host"), "ed25519", "");
    }

    /// How many connections it has seen so far.
    pub fn connections(&self) -> usize {
        self.read("log").matches("Accepted publickey").count()
    }

    /// Starts it again. Accepts connections when this returns.
    pub fn restart(&mut self) {
        // Where it changes its root to, when it is root.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("the log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(self.path("sshd_config")).process_group(0);
        self.child =
            Some(command.stdin(Stdio::null()).stderr(log).spawn().expect("openssh-server is installed"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().expect("started").try_wait().expect("its status");
            let starts = ended.is_none() && Instant::now() < deadline;
            assert!(starts, "sshd does not start: {}", self.read("log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and all of its connections with what they run.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let connections = connections(child.id());
        kill(&[child.id()]);
        let _ = child.wait();
        kill(&connections);
    }

    /// Ends all connections. New ones are accepted.
    pub fn cut_connections(&self) {
        kill(&connections(self.child.as_ref().expect("it runs").id()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The processes that a process has started, and theirs: each connection is in a session of its own.
fn descendants(process: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-e", "-o", "pid=,ppid="]).output().expect("ps is installed");
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs: Vec<(u32, u32)> = listing
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// Those of ssh alone: git notices that the connection is gone, and removes its locks.
fn connections(server: u32) -> Vec<u32> {
    let is_ssh = |process: &u32| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.starts_with("sshd"))
    };
    descendants(server).into_iter().filter(is_ssh).collect()
}

fn kill(processes: &[u32]) {
    for process in processes {
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
    }
}
