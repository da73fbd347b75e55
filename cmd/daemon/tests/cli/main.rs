//! The daemon as a process.

use assert_cmd::Command;

fn daemon() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("daemon"));
    command.env_clear();
    command
}

fn failure(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = daemon().args(arguments).env("DATA_DIR", directory.path()).assert().code(1);
    String::from_utf8_lossy(&output.get_output().stderr).into_owned()
}

#[test]
fn wrong_usage_is_status_2_and_failure_is_status_1_with_what_to_do() {
    daemon().arg("version").assert().success().stdout(format!("{}\n", env!("CARGO_PKG_VERSION")));
    for arguments in [
        &["start"][..],
        &["nonsense"],
        &["start", "--environment="],
        &["start", "--environment=dev", "--modulo-crash-report-notif=0"],
        &["start", "--environment=dev", "--broker-type=memory"],
    ] {
        daemon().args(arguments).assert().code(2);
    }
    let outside = failure(&["start", "--environment=dev", "--auth-token=x"]);
    assert!(outside.contains("run the daemon in a cluster, or give --kubeconfig"), "{outside}");
    let no_file = failure(&["start", "--environment=dev", "--auth-token=x", "--kubeconfig=/nonsense"]);
    assert!(no_file.contains("the cluster of /nonsense cannot be used"), "{no_file}");
}

#[test]
fn help_has_examples_and_shows_no_secret_of_the_environment() {
    let secrets =
        ["DAEMON_AUTH_TOKEN", "DAEMON_CLIENT_SECRET", "AMQP_PASSWORD"].map(|name| (name, "hunter2"));
    let output = daemon().args(["start", "--help"]).envs(secrets).assert().success();
    let help = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(help.contains("Examples:") && !help.contains("hunter2"), "{help}");
}

/// The field's spelling.
#[test]
fn the_scope_can_be_misspelt() {
    let spelt = |flag: &str| {
        let flag = format!("--{flag}=x");
        failure(&["start", "--environment=dev", "--auth-token=x", "--kubeconfig=/nonsense", &flag])
    };
    assert_eq!(spelt("deamon-scope"), spelt("daemon-scope"));
}
