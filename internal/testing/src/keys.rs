//! Real keys that sign commits, made and verified by gpg and OpenSSH.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A gpg home of its own. Ends its agent when it is dropped.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Self {
        let home = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir();
        Self { home: home.expect("a temporary directory") }
    }

    /// Makes a primary key and gives its fingerprint. The arguments are as in
    /// `gpg --quick-generate-key`: `rsa4096`, `sign` or `cert`, and `never` or `seconds=20`.
    pub fn generate(&self, user: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        self.run(&["--passphrase", "", "--quick-generate-key", user, algorithm, usage, expires]);
        self.fingerprint(user)
    }

    /// As [`Gpg::generate`], for a key that was made two days ago and expired yesterday.
    pub fn generate_expired(&self, user: &str) -> String {
        let made = "--faked-system-time=20200101T000000!";
        self.run(&[made, "--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "1d"]);
        self.fingerprint(user)
    }

    pub fn generate_with_passphrase(&self, user: &str, passphrase: &str) -> String {
        let arguments =
            ["--passphrase", passphrase, "--quick-generate-key", user, "ed25519", "sign", "never"];
        self.run(&arguments);
        self.fingerprint(user)
    }

    pub fn add_subkey(&self, fingerprint: &str, algorithm: &str, usage: &str, expires: &str) {
        self.run(&["--passphrase", "", "--quick-add-key", fingerprint, algorithm, usage, expires]);
    }

    /// With the certificate that gpg prepares for each key that it makes.
    pub fn revoke(&self, fingerprint: &str) {
        let path = self.home.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        let prepared = fs::read_to_string(path).expect("gpg prepares a revocation");
        let certificate = self.home.path().join("revocation");
        fs::write(&certificate, prepared.replace(":-----BEGIN", "-----BEGIN")).expect("it is written");
        self.run(&["--import", &certificate.to_string_lossy()]);
    }

    /// An armored file with the private key.
    pub fn export(&self, fingerprint: &str) -> PathBuf {
        self.export_to(fingerprint, &self.home.path().join(format!("{fingerprint}.asc")), "")
    }

    /// As [`Gpg::export`], to a file of this name; the passphrase is the key's.
    pub fn export_to(&self, fingerprint: &str, path: &Path, passphrase: &str) -> PathBuf {
        let arguments = ["--passphrase", passphrase, "--armor", "--export-secret-keys", fingerprint];
        fs::write(path, self.run(&arguments)).expect("the key is written");
        path.to_owned()
    }

    pub fn export_public(&self, fingerprint: &str) -> PathBuf {
        let path = self.home.path().join(format!("{fingerprint}.pub.asc"));
        fs::write(&path, self.run(&["--armor", "--export", fingerprint])).expect("the key is written");
        path
    }

    /// For `git verify-commit`.
    pub fn environment(&self) -> (&'static str, &Path) {
        ("GNUPGHOME", self.home.path())
    }

    fn fingerprint(&self, user: &str) -> String {
        let listing = self.run(&["--with-colons", "--list-secret-keys", user]);
        let listing = String::from_utf8(listing).expect("it is text");
        let line = listing.lines().find(|line| line.starts_with("fpr:")).expect("a key");
        line.split(':').nth(9).expect("a fingerprint").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--yes", "--quiet", "--pinentry-mode=loopback", "--no-auto-check-trustdb"]);
        output_of(command.args(arguments).env("GNUPGHOME", self.home.path())).stdout
    }
}

impl Default for Gpg {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.args(["--kill", "all"]).env("GNUPGHOME", self.home.path());
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Makes an ssh key without a passphrase, or with one; the public half is beside it, in `<path>.pub`.
pub fn ssh_key(path: &Path, kind: &str, passphrase: &str) -> PathBuf {
    let mut command = Command::new("ssh-keygen");
    output_of(command.args(["-q", "-N", passphrase, "-C", "test", "-t", kind, "-f"]).arg(path));
    path.to_owned()
}

/// The file with which git verifies signatures of this ssh key.
pub fn allowed_signers(key: &Path) -> PathBuf {
    let public = fs::read_to_string(key.with_extension("pub")).expect("the public key");
    let path = key.with_extension("signers");
    fs::write(&path, format!("bot@example.com {public}")).expect("the file is written");
    path
}

fn output_of(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
