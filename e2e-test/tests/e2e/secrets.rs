//! Nothing that must stay secret is in anything that anybody can read: all that the programs print, at
//! their most talkative, and the arguments of all processes that they start.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use release_testing::{
    fake::{Github, Slack},
    identity_provider::{CLIENT_SECRET, IdentityProvider, Settings},
    origin::Origin,
};
use reqwest::Method;

use crate::{
    harness::{Artifact, Order, Server, Setup, answer, program, run},
    walkthrough::Desk,
};

/// What the server is given.
const GRAFANA_KEY: &str = "grafana-key-0c52";
/// Nobody is there, and errors are talkative.
const GRAFANA_ANNOTATIONS: &str = "dev=grafana-key-0c52=http://127.0.0.1:1";
/// What a stranger tries.
const GUESSED: &str = "guessed-token-d19e";

const SECRETS: [(&str, &str); 8] = [
    ("HAMCTL_AUTH_TOKEN", "hamctl-token-5e8f,hamctl-token-91aa"),
    ("ARTIFACT_AUTH_TOKEN", "artifact-token-c07d"),
    ("DAEMON_AUTH_TOKEN", "daemon-token-77b3"),
    ("GITHUB_WEBHOOK_SECRET", "webhook-secret-2f6e"),
    ("GITHUB_API_TOKEN", "github-token-3a90"),
    ("SLACK_TOKEN", "slack-token-64de"),
    ("GIT_HTTPS_TOKEN", "git-token-b48c"),
    ("GRAFANA_ANNOTATIONS", GRAFANA_ANNOTATIONS),
];

/// The command lines of all processes that somebody has started, watched for as long as this lives.
struct CommandLines {
    seen: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl CommandLines {
    fn watch() -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let watching = std::thread::spawn({
            let (seen, stop) = (seen.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    seen.lock().expect("no panic while held").extend(command_lines());
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Self { seen, stop, watching: Some(watching) }
    }

    fn seen(mut self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.take().expect("it runs").join().expect("no panic");
        let seen = self.seen.lock().expect("no panic while held");
        seen.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Of every process of this machine, as `ps` shows them.
fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("Linux");
    let lines = processes.filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_was_printed_or_in_any_command_line() {
    // They don't know these tokens either, and say so.
    let (slack, github) = (Slack::start().await, Github::start().await);
    let (provider, origin) = (IdentityProvider::start(Settings::default()), Origin::new());
    let (keys, issuer, slack_url, github_url) =
        (provider.keys_url(), provider.url(), slack.url(), github.url());
    let flags = [
        ["--log.level", "trace"],
        ["--jwks-urls", &keys],
        ["--jwt-issuer", &issuer],
        ["--slack-api-url", &slack_url],
        ["--github-api-url", &github_url],
        ["--github-owner", "acme"],
    ];
    let commands = CommandLines::watch();
    let setup = Setup { flags: &flags.concat(), environment: &SECRETS, ..Setup::default() };
    let mut server = Server::start_with(&origin, &setup).await;

    let person = provider.person_token("jane").await;
    let machine = provider.machine_token("artifact", "release_artifact").await;
    let upload = use_everything(&server, &person, &machine).await;
    let printed = use_programs(&server).await;
    server.drained().await;
    assert_eq!(server.terminate().await.code(), Some(0));

    let log = server.log();
    for sign in ["Request done", "Request refused", "Release [dev]", "receive-pack", "artifact push"] {
        assert!(
            log.contains(sign) || commands_have(&commands, sign),
            "{sign} is missing: is this the whole run?"
        );
    }
    let signature = upload.split_once("signature=").expect("a signed URL").1;
    let signing_key = fs::read(server.data_dir().join("storage/signing-key")).expect("a key");
    let signing_key = String::from_utf8_lossy(&signing_key).trim().to_owned();
    let configured = SECRETS.iter().flat_map(|(_, list)| list.split(','));
    let used = [person.as_str(), &machine, CLIENT_SECRET, signature, &signing_key, GRAFANA_KEY, GUESSED];
    let told = [("the log", log), ("what was printed", printed), ("a command line", commands.seen())];
    for secret in configured.chain(used) {
        for (place, text) in &told {
            assert!(!text.contains(secret), "{secret:.40} is in {place}");
        }
    }
}

const HAMCTL: &str = "hamctl-token-5e8f";

fn commands_have(commands: &CommandLines, text: &str) -> bool {
    commands.seen.lock().expect("no panic while held").iter().any(|line| line.contains(text))
}

/// Good and bad requests of every kind; the URL that an upload was signed for.
async fn use_everything(server: &Server, person: &str, machine: &str) -> String {
    let artifact = Artifact::new("api", "master-1");
    let request = server.caller_with(machine).request(Method::POST, "/artifacts/create");
    let created = answer(request.json(&artifact.create_request())).await.expect("an answer");
    assert_eq!(created.status, 201, "{created:?}");
    let upload = created.body["artifactUploadUrl"].as_str().expect("a URL").to_owned();
    let put = server.http.put(&upload).header("content-md5", artifact.md5()).body(artifact.zip.clone());
    assert_eq!(answer(put).await.expect("an answer").status, 200);
    let wrong = server.http.put(format!("{upload}x")).header("content-md5", artifact.md5()).body("zip");
    assert_eq!(answer(wrong).await.expect("an answer").status, 403);

    for token in [person, machine, HAMCTL, "daemon-token-77b3", GUESSED] {
        let order = Order::new("api", "dev", "master-1");
        let released = server.caller_with(token).order(&order).await.expect("an answer");
        assert_eq!(released.status == 200, token == person || token == HAMCTL, "{token:.20}: {released:?}");
    }
    let webhook = server.caller_with("").request(Method::POST, "/webhook/github");
    let webhook = webhook.header("x-github-event", "push").header("x-hub-signature-256", "sha256=00");
    assert_eq!(answer(webhook.body("{}")).await.expect("an answer").status, 401);
    upload
}

/// What the programs print when they work, when they fail, and when they are asked for help.
async fn use_programs(server: &Server) -> String {
    let desk = Desk::at(server);
    desk.build("master-0017d995e3-67e9d69164").await;
    let mut printed = String::new();
    for line in [
        "hamctl release --service payments --branch master --env dev --wait",
        "hamctl release --service payments --branch nonsense --env dev",
        "hamctl status --service payments --output json",
        "hamctl status --service payments --http-base-url http://localhost:1",
        "hamctl describe release --service payments --env dev",
        "hamctl policy list --service payments",
        "hamctl --help",
        "hamctl status --help",
        "artifact push --help",
        "artifact init --help",
        "server events list",
        "server start",
    ] {
        let run = desk.types(line).await;
        printed.extend([run.stdout, run.stderr]);
    }
    assert!(printed.contains("is done (commit"), "{printed}");
    let mut help = Command::new(program("server"));
    help.args(["start", "--help"]).envs(SECRETS);
    printed + &run(help).await.ok()
}
