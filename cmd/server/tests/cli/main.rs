//! The server as a process.

mod process;

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
};

use assert_cmd::Command;
use process::Server;
use release_testing::origin::Origin;

fn server() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("server"));
    command.env_clear();
    command
}

#[test]
fn wrong_usage_is_status_2_and_failure_is_status_1() {
    server().arg("version").assert().success().stdout(format!("{}\n", env!("CARGO_PKG_VERSION")));
    for arguments in
        [&["start"][..], &["nonsense"], &["events"], &["events", "retry"], &["events", "drop", "1"]]
    {
        server().args(arguments).assert().code(2);
    }
    let nowhere = tempfile::tempdir().unwrap();
    let data_dir = nowhere.path().join("data");
    let output = server()
        .args(["start", "--http-port=0", "--config-repo=file:///nonsense/config.git", "--data-dir"])
        .arg(&data_dir)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .assert()
        .code(1);
    let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(stderr.contains("error: the config repository cannot be cloned"), "{stderr}");
}

#[test]
fn help_shows_no_secret_of_the_environment() {
    for arguments in [&["start", "--help"][..], &["events", "--help"]] {
        let output = server()
            .args(arguments)
            .envs(
                ["HAMCTL_AUTH_TOKEN", "ARTIFACT_AUTH_TOKEN", "DAEMON_AUTH_TOKEN"]
                    .map(|name| (name, "hunter2")),
            )
            .env("CONFIG_REPO", "https://jane:hunter2@git.example.com/config.git")
            .assert()
            .success();
        assert!(!String::from_utf8_lossy(&output.get_output().stdout).contains("hunter2"));
    }
}

#[test]
fn a_config_repository_is_all_that_a_server_needs() {
    let origin = Origin::new();
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(&origin, home.path());
    server.wait_for("\"Ready\"");
    assert!(server.get("/ready", "").starts_with("HTTP/1.1 200"));

    let path = home.path().join(".local/share/release-manager/tokens/hamctl");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(path).unwrap();
    assert!(server.get("/api/v1/events", token.trim()).starts_with("HTTP/1.1 200"));
    assert!(server.get("/api/v1/events", "another").starts_with("HTTP/1.1 401"));
    assert!(server.log().contains(".local/share/release-manager/tokens"));
    assert!(!server.log().contains(token.trim()));

    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn the_first_signal_waits_for_a_request_and_the_second_does_not() {
    let origin = Origin::new();
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(&origin, home.path());
    server.wait_for("\"Ready\"");
    let token = fs::read_to_string(home.path().join(".local/share/release-manager/tokens/hamctl")).unwrap();

    let mut unfinished = server.connect();
    let head = format!(
        "POST /release HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 9\r\n\
         Expect: 100-continue\r\n\r\n",
        token.trim()
    );
    unfinished.write_all(head.as_bytes()).unwrap();
    // The server asks for the body, so the request has begun.
    let mut begun = [0; 12];
    unfinished.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");

    server.signal("INT");
    server.wait_for("\"Stopping");
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.wait(), Some(1));
    assert!(server.log().contains("stopped before all was finished"));
}
