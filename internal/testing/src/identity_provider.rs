//! A real identity provider on a port of this machine: npm's `oidc-provider`.
//!
//! Its clients are `hamctl` (device flow, no secret), `artifact` and `daemon` (client credentials). Access
//! tokens are JWTs, signed with a key that is made at the start.

mod browser;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded;

use browser::{Browser, Decision};

/// Of `artifact` and `daemon`.
pub const CLIENT_SECRET: &str = "secret-of-a-machine-9f1c";
pub const AUDIENCE: &str = "release-manager";

const SCRIPT: &str = include_str!("identity_provider/provider.mjs");
/// It needs about a second on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// What differs between tests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `aud` of access tokens.
    pub audience: String,
    /// In whole seconds.
    pub access_token_lifetime: Duration,
    /// In whole seconds.
    pub device_code_lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            audience: AUDIENCE.to_owned(),
            access_token_lifetime: Duration::from_mins(5),
            device_code_lifetime: Duration::from_mins(10),
        }
    }
}

/// Dropping it ends the process.
pub struct IdentityProvider {
    settings: Settings,
    directory: TempDir,
    port: u16,
    key: u32,
    process: Option<Child>,
    http: reqwest::Client,
}

impl IdentityProvider {
    pub fn start(settings: Settings) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            // A connection does not outlive a restart.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client");
        let mut provider = Self { settings, directory, port: 0, key: 1, process: None, http };
        provider.spawn();
        provider
    }

    /// Also the issuer.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn keys_url(&self) -> String {
        format!("{}/v1/keys", self.url())
    }

    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it is ours");
        process.wait().expect("it ends");
    }

    /// On the same port, with the same key. Sessions and refresh tokens are forgotten.
    pub fn restart(&mut self) {
        self.spawn();
    }

    /// A restart with another key, under another id; the old one is gone.
    pub fn rotate_key(&mut self) {
        self.kill();
        self.key += 1;
        self.spawn();
    }

    /// An access token of `artifact` or `daemon`.
    pub async fn machine_token(&self, client: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_id", client),
            ("client_secret", CLIENT_SECRET),
        ];
        access_token(&self.post("/v1/token", &form).await)
    }

    /// An access token of hamctl, for a person who logs in with the browser.
    pub async fn person_token(&self, person: &str) -> String {
        let form = [("client_id", "hamctl"), ("scope", "openid profile email")];
        let device = self.post("/v1/device/authorize", &form).await;
        let text = |name: &str| device[name].as_str().unwrap_or_else(|| panic!("{name} in {device}"));
        self.approve(text("verification_uri_complete"), person).await;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", text("device_code")),
            ("client_id", "hamctl"),
        ];
        access_token(&self.post("/v1/token", &form).await)
    }

    /// The person opens the page with the code, logs in and consents.
    pub async fn approve(&self, page: &str, person: &str) {
        self.browse(page, Decision::Approve(person)).await;
    }

    /// The person opens the page with the code and aborts.
    pub async fn deny(&self, page: &str) {
        self.browse(page, Decision::Deny).await;
    }

    async fn browse(&self, page: &str, decision: Decision<'_>) {
        Browser::new(self.http.clone()).visit(page, decision).await;
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("{}{path}", self.url())).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut process = command(self.directory.path()).spawn().expect("node");
        let settings = self.settings_for_script().to_string();
        let input = process.stdin.as_mut().expect("a pipe");
        input.write_all(format!("{settings}\n").as_bytes()).expect("it reads");
        let output = process.stdout.take().expect("a pipe");
        // From here on, dropping ends it.
        self.process = Some(process);
        self.port = first_line(output).and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| {
            panic!("the identity provider does not start: {}", self.log());
        });
    }

    fn settings_for_script(&self) -> Value {
        json!({
            "port": self.port,
            "keyId": format!("key-{}", self.key),
            "keyFile": self.directory.path().join(format!("key-{}.json", self.key)),
            "clientSecret": CLIENT_SECRET,
            "audience": self.settings.audience,
            "accessTokenSeconds": self.settings.access_token_lifetime.as_secs(),
            "deviceCodeSeconds": self.settings.device_code_lifetime.as_secs(),
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for IdentityProvider {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its provider said")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the identity provider's log\n{}\n---", self.log());
        }
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn access_token(answer: &Value) -> String {
    answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}

/// A module on the command line finds its packages in the working directory.
fn command(directory: &Path) -> Command {
    let tools = tools();
    let log = fs::File::create(directory.join("log")).expect("a log file");
    let mut command = Command::new(tools.join("node/bin/node"));
    command
        .args(["--input-type=module", "--eval", SCRIPT])
        .env_clear()
        .current_dir(tools)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/identity-provider");
    assert!(tools.join("installed").exists(), "{} is missing; run `.ci/install test`", tools.display());
    tools
}

/// `None` when the process ends or takes too long.
fn first_line(output: impl std::io::Read + Send + 'static) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        let _ = sender.send(line);
    });
    receiver.recv_timeout(START_TIMEOUT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_tokens_to_people_and_machines_and_outlives_a_restart() {
        let mut provider = IdentityProvider::start(Settings::default());
        let keys = async |provider: &IdentityProvider| {
            let answer = provider.http.get(provider.keys_url()).send().await.expect("an answer");
            answer.text().await.expect("keys")
        };
        let before = keys(&provider).await;
        for token in [
            provider.machine_token("artifact", "release_artifact").await,
            provider.person_token("jane").await,
        ] {
            assert_eq!(token.split('.').count(), 3, "{token}");
        }
        provider.kill();
        provider.restart();
        assert_eq!(keys(&provider).await, before);
        provider.rotate_key();
        assert_ne!(keys(&provider).await, before);
    }
}
