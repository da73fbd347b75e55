//! Scripts and live values.

use std::{net::TcpListener, time::Instant};

use crate::{artifacts, program::Program, server::Server};

/// What bash is offered for the last word.
fn offered(program: &Program, words: &[&str]) -> Vec<String> {
    let last = (words.len() - 1).to_string();
    let mut command = program.hamctl();
    command.env("_HAMCTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", last).env("_CLAP_IFS", "\n");
    let output = command.arg("--").args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_shell_gets_a_script_that_asks_hamctl() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = Program::new().run(&["completion", shell]);
        assert!(script.starts_with("exit 0\n") && script.contains("_HAMCTL_COMPLETE"), "{shell}: {script}");
    }
}

#[test]
fn commands_and_flags_are_offered() {
    let program = Program::new();
    assert_eq!(offered(&program, &["hamctl", "pro"]), ["promote"]);
    assert_eq!(offered(&program, &["hamctl", "release", "--art"]), ["--artifact"]);
}

#[test]
fn live_values_are_offered() {
    let server = Server::start()
        .on("GET /api/v1/environments", 200, r#"{"environments":["dev","prod","\u001b[2J"]}"#)
        .on("GET /api/v1/services", 200, r#"{"services":["product","user"]}"#)
        .on("GET /policies?service=svc", 200, crate::policies::POLICIES)
        .on("GET /describe/artifact/svc?count=30", 200, &artifacts(&["main-2-1", "main-1-1", "fix-1-1"]));
    let program = Program::for_server(&server);
    assert_eq!(offered(&program, &["hamctl", "promote", "--env", ""]), ["dev", "prod"]);
    assert_eq!(offered(&program, &["hamctl", "release", "--env", "dev,p"]), ["dev,prod"]);
    assert_eq!(offered(&program, &["hamctl", "status", "--service", "u"]), ["user"]);
    assert_eq!(
        offered(&program, &["hamctl", "release", "--service", "svc", "--branch", ""]),
        ["fix", "main"]
    );
    assert_eq!(
        offered(&program, &["hamctl", "--service=svc", "rollback", "--artifact", "main-"]),
        ["main-2-1", "main-1-1"]
    );
    assert_eq!(
        offered(&program, &["hamctl", "policy", "delete", "--service", "svc", "auto-release-m"]),
        ["auto-release-master-dev"]
    );
    assert!(offered(&program, &["hamctl", "release", "--branch", ""]).is_empty(), "no service, no branches");
}

#[test]
fn a_server_that_is_away_or_hangs_is_not_waited_for() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let urls =
        [format!("http://{}", hanging.local_addr().unwrap()), "http://127.0.0.1:1".into(), "nonsense".into()];
    for url in urls {
        let program = Program::new().with("HAMCTL_URL", &url);
        let start = Instant::now();
        assert!(offered(&program, &["hamctl", "promote", "--env", ""]).is_empty());
        assert!(start.elapsed().as_secs() < 5, "{url} took {:?}", start.elapsed());
    }
}
