//! The ssh command that git is given, and the connection that all of its runs share.
//!
//! Setting an ssh connection up takes several times as long as a push over one
//! that is open. OpenSSH keeps it: the first run leaves a master process behind,
//! in a session of its own, that later ones reach by a socket.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use tracing::info;

use crate::{
    Credentials,
    process::{self, quote},
};

/// Whether git reaches this URL by ssh: `ssh://…` or `user@host:path`.
pub(crate) fn is_ssh(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => matches!(scheme, "ssh" | "git+ssh" | "ssh+git"),
        None => url.split_once(':').is_some_and(|(host, _)| !host.contains('/')),
    }
}

/// The command line for `GIT_SSH_COMMAND`. What the machine's own `GIT_SSH_COMMAND` says comes
/// first, and the first word counts for ssh.
pub(crate) fn command(credentials: &Credentials, connection: Option<&Connection>) -> String {
    let program = std::env::var("GIT_SSH_COMMAND").unwrap_or_else(|_| "ssh".to_owned());
    // Batch mode: a question for a passphrase would wait for an answer that nobody gives.
    let mut words = vec![program, "-o BatchMode=yes".to_owned()];
    // A connection that is dead without having ended is noticed within 15 s.
    words.push("-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3".to_owned());
    if let Some(key) = &credentials.ssh_key {
        words.push(format!("-i {} -o IdentitiesOnly=yes", quote(&key.display().to_string())));
    }
    if let Some(file) = &credentials.ssh_known_hosts {
        words.push(path_option("UserKnownHostsFile", file));
    }
    if credentials.ssh_accept_new_host_keys {
        words.push("-o StrictHostKeyChecking=accept-new".to_owned());
    } else if credentials.ssh_known_hosts.is_some() {
        words.push("-o StrictHostKeyChecking=yes".to_owned());
    }
    if let Some(connection) = connection {
        words.push(connection.options());
    }
    words.join(" ")
}

/// Why ssh is silent about a key that it could not use, if that is the reason.
pub(crate) fn has_passphrase(key: &Path) -> bool {
    let Ok(text) = fs::read_to_string(key) else { return false };
    // The older formats say so in plain text.
    ssh_key::PrivateKey::from_openssh(&text).is_ok_and(|key| key.is_encrypted()) || text.contains("ENCRYPTED")
}

/// A connection that is kept open. Dropping it ends the master process.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: PathBuf,
    _temporary: Option<TempDir>,
}

/// Longer than the pause between two looks at the remote, so that a release finds it open. A
/// server that was killed leaves the master behind for this long.
const PERSIST_SECONDS: u64 = 60;
const SOCKET: &str = "connection";

impl Connection {
    /// In this directory, or in one for temporary files where it cannot hold a socket: its path
    /// is too long, or its file system has none. `None` when neither can; then every run connects.
    pub(crate) fn new(directory: &Path) -> Option<Self> {
        let connection = if make_private(directory).and_then(|()| try_socket(directory)).is_ok() {
            Self { socket: directory.join(SOCKET), _temporary: None }
        } else {
            let temporary = tempfile::Builder::new()
                .permissions(Permissions::from_mode(0o700))
                .tempdir()
                .and_then(|temporary| try_socket(temporary.path()).map(|()| temporary))
                .inspect_err(|error| info!("no place for the socket of a shared ssh connection: {error}"))
                .ok()?;
            Self { socket: temporary.path().join(SOCKET), _temporary: Some(temporary) }
        };
        // One that a killed server left may have been made with another key.
        connection.close();
        Some(connection)
    }

    /// Whether a run will find a master, dead or alive.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.symlink_metadata().is_ok()
    }

    /// Ends the master, also one that hangs: the next run does not find it, and makes a new connection.
    pub(crate) fn close(&self) {
        /// It is asked over a socket of this machine.
        const PATIENCE: Duration = Duration::from_secs(2);
        if !self.is_open() {
            return;
        }
        let mut command = Command::new("sh");
        // The host is not looked at, but has to be there.
        command.arg("-c").arg(format!("ssh {} -O exit master", path_option("ControlPath", &self.socket)));
        let _ = process::run_for(&mut command, PATIENCE);
        let _ = fs::remove_file(&self.socket);
    }

    fn options(&self) -> String {
        let path = path_option("ControlPath", &self.socket);
        format!("-o ControlMaster=auto {path} -o ControlPersist={PERSIST_SECONDS}")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// Does what ssh does: listens on a socket with a longer name, and links it to the right one.
fn try_socket(directory: &Path) -> io::Result<()> {
    let (long, short) = (directory.join(format!("{SOCKET}.0123456789abcdef")), directory.join("try"));
    for leftover in [&long, &short] {
        let _ = fs::remove_file(leftover);
    }
    let _listener = UnixListener::bind(&long)?;
    let linked = fs::hard_link(&long, &short).and_then(|()| fs::remove_file(&short));
    fs::remove_file(&long)?;
    linked
}

/// An option for the shell that starts ssh, whose value ssh takes apart once more.
fn path_option(name: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let path = path.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    format!("-o {}", quote(&format!("{name}=\"{path}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_git_reaches_by_ssh_are_known() {
        for (url, expected) in [
            ("ssh://git@git.example.com:22/config.git", true),
            ("git+ssh://git.example.com/config.git", true),
            ("git@git.example.com:org/config.git", true),
            ("git.example.com:config.git", true),
            ("https://git.example.com:8443/config.git", false),
            ("file:///srv/config.git", false),
            ("/srv/a:b/config.git", false),
            ("./config.git", false),
        ] {
            assert_eq!(is_ssh(url), expected, "{url}");
        }
    }

    #[test]
    fn paths_are_quoted_for_the_shell_and_for_ssh() {
        let credentials = Credentials {
            ssh_key: Some("/keys/it's mine".into()),
            ssh_known_hosts: Some("/known hosts/100%".into()),
            ..Credentials::default()
        };
        let command = command(&credentials, None);
        assert!(command.contains(r" -i '/keys/it'\''s mine' -o IdentitiesOnly=yes"), "{command}");
        let hosts = r#" -o 'UserKnownHostsFile="/known hosts/100%%"' -o StrictHostKeyChecking=yes"#;
        assert!(command.ends_with(hosts), "{command}");
    }

    #[test]
    fn new_host_keys_are_accepted_only_when_asked_for() {
        for (accept, file, expected) in [
            (false, None, None),
            (false, Some("/hosts"), Some("StrictHostKeyChecking=yes")),
            (true, None, Some("StrictHostKeyChecking=accept-new")),
            (true, Some("/hosts"), Some("StrictHostKeyChecking=accept-new")),
        ] {
            let credentials = Credentials {
                ssh_accept_new_host_keys: accept,
                ssh_known_hosts: file.map(PathBuf::from),
                ..Credentials::default()
            };
            let command = command(&credentials, None);
            let checking = command.split(' ').find(|word| word.starts_with("StrictHostKeyChecking"));
            assert_eq!(checking, expected, "{command}");
        }
    }

    #[test]
    fn a_socket_that_does_not_fit_into_its_directory_is_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let near = Connection::new(&directory.path().join("a b%")).unwrap();
        assert!(near.socket.starts_with(directory.path()));
        let far = Connection::new(&directory.path().join("long".repeat(30))).unwrap();
        assert!(!far.socket.starts_with(directory.path()));
        let mode = fs::metadata(far.socket.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_master_that_is_dead_or_hangs_is_not_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::new(directory.path()).unwrap();
        // Nobody ever answers on it.
        let hanging = UnixListener::bind(&connection.socket).unwrap();
        assert!(connection.is_open());
        connection.close();
        assert!(!connection.is_open());
        drop(hanging);
        drop(UnixListener::bind(&connection.socket).unwrap());
        connection.close();
        assert!(!connection.is_open());
    }
}
