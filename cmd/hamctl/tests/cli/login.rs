//! Logging in at a real identity provider.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::PathBuf,
    process::Child,
    time::Duration,
};

use release_testing::identity_provider::{IdentityProvider, Settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{program::Program, server::Server};

const STATUS: [&str; 3] = ["status", "--service", "svc"];
const OLDER_FILE: &str = ".Config/release-manager/token.json";

impl Program {
    /// For a release server and an identity provider.
    pub(crate) fn with_login(server: &Server, provider: &str) -> Self {
        Self::for_server(server)
            .with("HAMCTL_OAUTH_IDP_URL", provider)
            .with("HAMCTL_OAUTH_CLIENT_ID", "hamctl")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory().join(".config/release-manager/token.json")
    }

    fn token(&self) -> Value {
        serde_json::from_slice(&fs::read(self.token_file()).unwrap()).unwrap()
    }

    /// As if the clock had moved on by a day.
    fn outdate_token(&self) {
        let mut token = self.token();
        token["expiry"] = "2021-06-23T08:42:22Z".into();
        fs::write(self.token_file(), token.to_string()).unwrap();
    }

    /// Logs in with `hamctl login`.
    async fn log_in(&self, provider: &IdentityProvider) {
        let login = Waiting::start(self, &["login"]);
        provider.approve(&login.page, "jane").await;
        assert!(login.end().0.ends_with("Logged in as jane of the tests <jane@example.com>\n"));
    }
}

fn status_server() -> Server {
    Server::start().on("GET /api/v1/status?service=svc", 200, "{}")
}

/// A hamctl that has shown where to log in.
pub(crate) struct Waiting {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    page: String,
    shown: String,
}

impl Waiting {
    pub(crate) fn start(program: &Program, arguments: &[&str]) -> Self {
        let mut child = program.spawn(arguments);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut shown = String::new();
        let page = loop {
            let start = shown.len();
            assert_ne!(stderr.read_line(&mut shown).unwrap(), 0, "it ended: {shown}");
            if let Some(page) = shown[start..].strip_prefix("or open ") {
                break page.trim().to_owned();
            }
        };
        Self { child, stderr, page, shown }
    }

    /// Standard output and standard error of a run that went well.
    pub(crate) fn end(self) -> (String, String) {
        let (code, stdout, stderr) = self.end_with();
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        (stdout, stderr)
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(mut self) {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
    }

    pub(crate) fn end_with(mut self) -> (Option<i32>, String, String) {
        self.stderr.read_to_string(&mut self.shown).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), self.shown)
    }
}

#[tokio::test]
async fn a_person_logs_in_calls_the_server_and_logs_out() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url());
    let whoami = program.run(&["whoami"]);
    assert!(whoami.starts_with("exit 1\n-- stderr\nerror: you are not logged in\nhint: "), "{whoami}");

    program.log_in(&provider).await;
    let mode = fs::metadata(program.token_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    program.hamctl().args(STATUS).assert().success();
    let token = program.token();
    assert_eq!(server.tokens(), [format!("Bearer {}", token["access_token"].as_str().unwrap())]);
    assert_eq!(program.run(&["whoami"]), "exit 0\njane of the tests <jane@example.com>\n");
    let json: Value = serde_json::from_slice(
        &program.hamctl().args(["whoami", "--output", "json"]).output().unwrap().stdout,
    )
    .unwrap();
    let expected =
        json!({"by": "login", "sub": "jane", "name": "jane of the tests", "email": "jane@example.com"});
    assert_eq!(json, expected);

    assert_eq!(program.run(&["logout"]), "exit 0\nLogged out\n");
    assert!(!program.token_file().exists());
    // The provider knows, too: a copy of the file is of no use.
    fs::write(program.token_file(), token.to_string()).unwrap();
    program.outdate_token();
    let program = program.with("HAMCTL_OAUTH_AUTO_LOGIN", "false");
    let refused = program.run(&STATUS);
    assert!(refused.starts_with("exit 1\n-- stderr\nerror: you are not logged in\n"), "{refused}");
}

#[tokio::test]
async fn a_command_logs_in_by_itself_and_keeps_its_output_clean() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url());
    let status = Waiting::start(&program, &STATUS);
    provider.approve(&status.page, "jane").await;
    let (stdout, stderr) = status.end();
    assert!(stdout.starts_with("Status for service svc\n"), "{stdout}");
    assert!(stderr.contains("Logged in as jane of the tests"), "{stderr}");
    // From now on, nobody is asked.
    let again = program.hamctl().args(STATUS).output().unwrap();
    assert_eq!(String::from_utf8(again.stderr).unwrap(), "");
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_for_all_processes() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url()).with("HAMCTL_OAUTH_AUTO_LOGIN", "false");
    program.log_in(&provider).await;
    let old = program.token();
    program.outdate_token();
    at_the_same_time(&program, 8);
    let new = program.token();
    assert_ne!(new["access_token"], old["access_token"]);
    assert_ne!(new["refresh_token"], old["refresh_token"]);
    assert_eq!(new["identity"], old["identity"]);
    let expected = format!("Bearer {}", new["access_token"].as_str().unwrap());
    assert_eq!(server.tokens(), vec![expected; 8]);
}

/// The provider ends a login whose refresh token is used twice.
#[tokio::test]
async fn processes_that_all_refresh_do_not_get_in_each_others_way() {
    let settings = Settings { access_token_lifetime: Duration::from_secs(20), ..Settings::default() };
    let (provider, server) = (IdentityProvider::start(settings), status_server());
    let program = Program::with_login(&server, &provider.url()).with("HAMCTL_OAUTH_AUTO_LOGIN", "false");
    program.log_in(&provider).await;
    at_the_same_time(&program, 8);
    let mut tokens = server.tokens();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 8);
}

fn at_the_same_time(program: &Program, processes: usize) {
    let children: Vec<_> = (0..processes).map(|_| program.spawn(&STATUS)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", program.show(&output));
    }
}

#[tokio::test]
async fn the_file_of_older_versions_is_read_and_ours_is_written() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url()).with("HAMCTL_OAUTH_AUTO_LOGIN", "false");
    program.log_in(&provider).await;
    let token = program.token();
    fs::remove_file(program.token_file()).unwrap();
    let older = json!({
        "access_token": token["access_token"], "token_type": "Bearer", "refresh_token": token["refresh_token"],
        "expiry": "2021-06-23T08:42:22.123456789+02:00",
    });
    let path = program.directory().join(OLDER_FILE);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, older.to_string()).unwrap();

    program.hamctl().args(STATUS).assert().success();
    assert_ne!(program.token()["access_token"], token["access_token"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), older.to_string());
    program.hamctl().arg("logout").assert().success();
    assert!(!path.exists(), "the next command would be logged in again");
}

#[tokio::test]
async fn a_token_is_never_sent_for_another_provider_or_instead_of_a_static_one() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url()).with("HAMCTL_OAUTH_AUTO_LOGIN", "false");
    program.log_in(&provider).await;
    let program = program.with("HAMCTL_OAUTH_CLIENT_ID", "another");
    let refused = program.run(&STATUS);
    assert!(refused.contains("error: you are not logged in"), "{refused}");
    let program = program.with("HAMCTL_AUTH_TOKEN", "hunter2");
    program.hamctl().args(STATUS).assert().success();
    assert_eq!(server.tokens(), ["Bearer hunter2"]);
    let whoami = program.run(&["whoami"]);
    assert_eq!(whoami, "exit 0\nthe server knows: the token in HAMCTL_AUTH_TOKEN is used\n");
}

#[tokio::test]
async fn whoever_says_no_is_not_logged_in() {
    let (provider, server) = (IdentityProvider::start(Settings::default()), status_server());
    let program = Program::with_login(&server, &provider.url());
    let login = Waiting::start(&program, &["login"]);
    provider.deny(&login.page).await;
    let (code, stdout, stderr) = login.end_with();
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let end = "error: the login was denied\nhint: try again with 'hamctl login'\n";
    assert!(stderr.ends_with(end), "{stderr}");
    assert!(!program.token_file().exists());
}

#[test]
fn a_code_that_nobody_confirms_expires() {
    let settings = Settings { device_code_lifetime: Duration::from_secs(1), ..Settings::default() };
    let (provider, server) = (IdentityProvider::start(settings), status_server());
    let program = Program::with_login(&server, &provider.url());
    let shown = program.run(&["login"]);
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert!(shown.contains("error: the code was not confirmed in time\n"), "{shown}");
    assert!(!program.token_file().exists());
}
