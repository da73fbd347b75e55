//! Streams, terminals and texts.

use std::{fs::File, process::Stdio};

use insta::assert_snapshot;

use crate::{program::Program, server::Server};

#[test]
fn the_version_needs_nothing() {
    let program = Program::new().with("HAMCTL_URL", "nonsense").with("HAMCTL_SERVICE", "");
    assert_eq!(program.run(&["version"]), format!("exit 0\n{}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_help_has_an_example() {
    let program = Program::new();
    let commands: [&[&str]; 10] = [
        &[],
        &["promote"],
        &["release"],
        &["rollback"],
        &["status"],
        &["describe"],
        &["describe", "release"],
        &["describe", "artifact"],
        &["metrics"],
        &["completion"],
    ];
    for command in commands {
        let help = program.run(&[command, &["--help"]].concat());
        assert!(help.starts_with("exit 0\n") && help.contains("Example"), "{command:?}: {help}");
    }
    assert_snapshot!(program.run(&["promote", "--help"]), @"
    exit 0
    Bring what runs in one environment to the next.

    By convention, the first environment of the promotion chain gets the newest artifact of the default
    branch, and each other one what runs in the environment before it.

    Usage: hamctl promote [OPTIONS] --env <ENV>

    Options:
      -e, --env <ENV>
              Where to

          --from-env <ENV>
              Where from, instead of what the chain says

          --promotion-chain <CHAIN>
              The default branch and the environments after it. Of several default branches with `|`
              between them, the first that has an artifact counts
              
              [env: HAMCTL_PROMOTION_CHAIN=]
              [default: master|main,dev,prod]

      -n, --namespace <NAMESPACE>
              The service's namespace; without it, `vars.k8s.namespace` of the `shuttle.yaml` in this
              directory, else the one named like the environment

          --wait[=<UNTIL>]
              Wait until the release's commit is in the config repository, or, with `--wait=healthy`,
              until all of the release runs in its cluster
              
              [possible values: released, healthy]

          --wait-timeout <DURATION>
              How long `--wait` waits at most
              
              [default: 10m]

          --output <FORMAT>
              Print the result for programs
              
              [possible values: json, yaml]

      -h, --help
              Print help (see a summary with '-h')

    Options of all commands:
          --http-base-url <URL>
              The release server's URL
              
              [env: HAMCTL_URL=]

          --http-timeout <DURATION>
              How long to wait for one answer of the server
              
              [default: 120s]

          --service <SERVICE>
              The service; without it, `vars.service` of the `shuttle.yaml` in this directory
              
              [env: HAMCTL_SERVICE=]

    Examples:
      hamctl promote --service product --env dev
      hamctl promote --service product --env prod --wait
      hamctl promote --service product --env prod --from-env staging
      HAMCTL_PROMOTION_CHAIN=main,dev,staging,prod hamctl promote --service product --env prod
    ");
}

#[test]
fn control_characters_of_the_server_do_not_pass() {
    let server = Server::start().on(
        "GET /status?service=svc",
        200,
        r#"{"environments":[{"name":"dev\u001b[2J","tag":"a\u0007","author":"\u009b31mJane","message":"x\rfake"}]}"#,
    );
    assert_snapshot!(Program::for_server(&server).run(&["status", "--service", "svc"]), @"
    exit 0
    Status for service svc

    dev�[2J: a� by �31mJane: x�fake
    ");
}

#[test]
fn colour_is_only_for_terminals() {
    let server =
        Server::start().on("GET /status?service=svc", 200, r#"{"environments":[{"name":"dev","tag":"a"}]}"#);
    let program = Program::for_server(&server);
    assert!(!program.run(&["status", "--service", "svc"]).contains('\u{1b}'));
    let forced = program.with("CLICOLOR_FORCE", "1");
    assert!(forced.run(&["status", "--service", "svc"]).contains("\u{1b}[32ma\u{1b}[0m"));
    let never = forced.with("NO_COLOR", "1").with("CLICOLOR_FORCE", "0");
    assert!(!never.run(&["status", "--service", "svc"]).contains('\u{1b}'));
}

fn run_into(stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let server = Server::start().on("GET /status?service=svc", 200, "{}");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hamctl"));
    command.env_clear().env("HAMCTL_URL", server.url()).args(["status", "--service", "svc"]);
    let output = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_went_away_is_fine() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run_into(writer), (Some(0), String::new()));
}

#[test]
#[cfg(target_os = "linux")]
fn lost_output_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (code, stderr) = run_into(full);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: standard output cannot be written: No space left"), "{stderr}");
}
