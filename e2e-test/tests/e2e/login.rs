//! People and CI jobs who log in at a real identity provider, from a build to a release.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use release_testing::{
    identity_provider::{CLIENT_SECRET, IdentityProvider, Settings},
    origin::Origin,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::harness::{Run, Server, Setup, program, run};

/// Somebody at a terminal, and a CI job, neither with a token of the server.
struct Desk {
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Desk {
    fn new(server: &Server, provider: &IdentityProvider) -> Self {
        let environment = vec![
            ("HAMCTL_URL", server.url("")),
            ("HAMCTL_SERVICE", "payments".to_owned()),
            ("HAMCTL_OAUTH_IDP_URL", provider.url()),
            ("HAMCTL_OAUTH_CLIENT_ID", "hamctl".to_owned()),
            ("ARTIFACT_URL", server.url("")),
            ("ARTIFACT_IDP_URL", provider.url()),
            ("ARTIFACT_CLIENT_ID", "artifact".to_owned()),
            ("ARTIFACT_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ];
        Self { directory: tempfile::tempdir().expect("a temporary directory"), environment }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(program(words.next().expect("a program")));
        command.args(words).current_dir(self.path()).env("HOME", self.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    async fn types(&self, line: &str) -> Run {
        run(self.command(line)).await
    }

    /// Types a line that asks for a login, and confirms it.
    async fn types_and_confirms(&self, line: &str, provider: &IdentityProvider) -> String {
        let mut command = self.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (page, stderr) = spawn_blocking(move || (page(&mut stderr), stderr)).await.expect("no panic");
        provider.approve(&page, "jane").await;
        spawn_blocking(move || end(child, stderr)).await.expect("no panic")
    }
}

/// On which the login is confirmed.
fn page(stderr: &mut impl BufRead) -> String {
    let mut shown = String::new();
    loop {
        let start = shown.len();
        assert_ne!(stderr.read_line(&mut shown).expect("text"), 0, "it ended: {shown}");
        if let Some(page) = shown[start..].strip_prefix("or open ") {
            return page.trim().to_owned();
        }
    }
}

/// Standard output of a program that ended well.
fn end(child: Child, mut stderr: impl Read) -> String {
    let mut shown = String::new();
    stderr.read_to_string(&mut shown).expect("text");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{shown}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_static_token_from_a_build_to_a_release() {
    let (provider, origin) = (IdentityProvider::start(Settings::default()), Origin::new());
    let (keys, issuer) = (provider.keys_url(), provider.url());
    let flags = ["--jwks-urls", &keys, "--jwt-issuer", &issuer];
    let server = Server::start_with(&origin, &Setup { flags: &flags, ..Setup::default() }).await;
    let desk = Desk::new(&server, &provider);

    fs::create_dir(desk.path().join("dev")).expect("a directory");
    fs::write(desk.path().join("dev/deployment.yaml"), "image: payments\n").expect("a file");
    let init = "artifact init --artifact-id master-1 --service payments --git-branch master --git-sha 0017d995e3 \
         --git-author-name Ada --git-author-email ada@example.com --git-message Faster \
         --git-committer-name Bob --git-committer-email bob@example.com";
    for line in [init, "artifact end", "artifact push"] {
        desk.types(line).await.ok();
    }
    let release = "hamctl release --branch master --env dev --wait";
    let printed = desk.types_and_confirms(release, &provider).await;
    assert!(printed.contains("[✓] "), "{printed}");
    let released = origin.file("dev/releases/dev/payments/deployment.yaml").expect("it is released");
    assert_eq!(released, b"image: payments\n");
    // The next one asks nobody.
    let status = desk.types("hamctl status").await;
    assert_eq!((status.code, status.stderr.as_str()), (Some(0), ""), "{status:?}");
    assert!(status.stdout.contains("master-1"), "{status:?}");
}
