//! What people read first, and what they see after a mistake.

use insta::assert_snapshot;

use crate::{INIT, Job};

#[test]
fn help_shows_commands_flags_and_an_example() {
    assert_snapshot!(Job::new().run(&["--help"]), @r"
    exit: 0
    stdout:
    Record a build in artifact.json, step by step, and hand it to the release server

    Usage: artifact [OPTIONS] <COMMAND>

    Commands:
      init        Start the artifact: who changed what, and which job builds it
      add         Record what one stage of the job found; a stage that comes again replaces the first
      end         Record that the job has ended
      push        Zip the root directory and upload it to the release server
      successful  Say that the job was successful
      failure     Say that the job failed
      version     Print the version
      help        Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Place of the artifact:
          --root <DIR>   The directory with artifact.json and one directory per environment [env:
                         ARTIFACT_ROOT=] [default: .]
          --file <NAME>  The name of the file that is written, inside the root [env: ARTIFACT_FILE=]
                         [default: artifact.json]

    Slack:
          --slack-token <TOKEN>    Token of the Slack bot; without it, nobody is told [env: SLACK_TOKEN]
          --slack-api-url <URL>    Where Slack's Web API is [env: SLACK_API_URL=] [default:
                                   https://slack.com/api]
          --message-file <NAME>    Where the posted message is remembered, inside the root [env:
                                   ARTIFACT_MESSAGE_FILE=] [default: message.json]
          --email-suffix <SUFFIX>  The company's e-mail suffix, to find people in Slack [env:
                                   ARTIFACT_EMAIL_SUFFIX=]

    Example, the steps of one CI job:
      artifact init --artifact-id master-0017d995e3-67e9d69164 --service api \
          --git-branch master --git-sha 0017d995e32e --git-message 'Fix login' \
          --git-author-name Jane --git-author-email jane@example.com \
          --git-committer-name Jane --git-committer-email jane@example.com
      artifact add build --image registry.example.com/api --tag master-0017d995e3
      artifact add test --passed 42 --failed 0 --skipped 1
      artifact end
      artifact push --http-base-url https://release.example.com
    ");
}

#[test]
fn help_of_init() {
    assert_snapshot!(Job::new().run(&["init", "--help"]), @"
    exit: 0
    stdout:
    Start the artifact: who changed what, and which job builds it

    Usage: artifact init [OPTIONS] --artifact-id <ID> --service <NAME> --git-branch <NAME> --git-sha <SHA> --git-message <TEXT> --git-author-name <NAME> --git-author-email <ADDRESS> --git-committer-name <NAME> --git-committer-email <ADDRESS>

    Options:
      -h, --help  Print help

    The build:
          --artifact-id <ID>           The artifact's id: branch, source commit and plan commit, such as
                                       master-0017d995e3-67e9d69164
          --service <NAME>             The name of the service that is built
          --namespace <NAME>           The Kubernetes namespace, where it is not the environment's own
          --squad <NAME>               The team that owns the service
          --ci-job-url <URL>           Where the CI job can be looked at
          --user-mappings <A@B=C@D,…>  git e-mail addresses and the company addresses of the same people
                                       [env: USER_MAPPINGS=]

    The commit:
          --git-branch <NAME>              The branch of the commit
          --git-sha <SHA>                  The id of the commit
          --git-message <TEXT>             The commit's message
          --git-author-name <NAME>         Who wrote the change
          --git-author-email <ADDRESS>     The author's e-mail address
          --git-committer-name <NAME>      Who committed the change
          --git-committer-email <ADDRESS>  The committer's e-mail address
          --name <NAME>                    The name of the source repository
          --url <URL>                      Where the commit can be looked at
          --provider <NAME>                Who hosts the repository, such as GitHub

    The shuttle plan:
          --shuttle-plan-branch <NAME>   The branch of the plan's commit
          --shuttle-plan-sha <SHA>       The id of the plan's commit
          --shuttle-plan-message <TEXT>  The message of the plan's commit
          --shuttle-plan-url <URL>       Where the plan lives

    Place of the artifact:
          --root <DIR>   The directory with artifact.json and one directory per environment [env:
                         ARTIFACT_ROOT=] [default: .]
          --file <NAME>  The name of the file that is written, inside the root [env: ARTIFACT_FILE=]
                         [default: artifact.json]

    Slack:
          --slack-token <TOKEN>    Token of the Slack bot; without it, nobody is told [env: SLACK_TOKEN]
          --slack-api-url <URL>    Where Slack's Web API is [env: SLACK_API_URL=] [default:
                                   https://slack.com/api]
          --message-file <NAME>    Where the posted message is remembered, inside the root [env:
                                   ARTIFACT_MESSAGE_FILE=] [default: message.json]
          --email-suffix <SUFFIX>  The company's e-mail suffix, to find people in Slack [env:
                                   ARTIFACT_EMAIL_SUFFIX=]
    ");
}

#[test]
fn help_of_add() {
    assert_snapshot!(Job::new().run(&["add", "--help"]), @"
    exit: 0
    stdout:
    Record what one stage of the job found; a stage that comes again replaces the first

    Usage: artifact add [OPTIONS] <COMMAND>

    Commands:
      test         Unit and integration tests
      build        The image was built
      push         The image was pushed
      snyk-code    Security scan of the code
      snyk-docker  Security scan of the image
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help

    Place of the artifact:
          --root <DIR>   The directory with artifact.json and one directory per environment [env:
                         ARTIFACT_ROOT=] [default: .]
          --file <NAME>  The name of the file that is written, inside the root [env: ARTIFACT_FILE=]
                         [default: artifact.json]

    Slack:
          --slack-token <TOKEN>    Token of the Slack bot; without it, nobody is told [env: SLACK_TOKEN]
          --slack-api-url <URL>    Where Slack's Web API is [env: SLACK_API_URL=] [default:
                                   https://slack.com/api]
          --message-file <NAME>    Where the posted message is remembered, inside the root [env:
                                   ARTIFACT_MESSAGE_FILE=] [default: message.json]
          --email-suffix <SUFFIX>  The company's e-mail suffix, to find people in Slack [env:
                                   ARTIFACT_EMAIL_SUFFIX=]
    ");
}

#[test]
fn help_of_a_stage() {
    assert_snapshot!(Job::new().run(&["add", "snyk-docker", "--help"]), @"
    exit: 0
    stdout:
    Security scan of the image

    Usage: artifact add snyk-docker [OPTIONS]

    Options:
          --tag <TAG>               The tag of the image
          --base-image <IMAGE>      The image that this one is built on
          --snyk-version <VERSION>  The version of Snyk that was used
          --url <URL>               Where the report can be looked at
          --high <COUNT>            Vulnerabilities of high severity [default: 0]
          --medium <COUNT>          Vulnerabilities of medium severity [default: 0]
          --low <COUNT>             Vulnerabilities of low severity [default: 0]
      -h, --help                    Print help

    Place of the artifact:
          --root <DIR>   The directory with artifact.json and one directory per environment [env:
                         ARTIFACT_ROOT=] [default: .]
          --file <NAME>  The name of the file that is written, inside the root [env: ARTIFACT_FILE=]
                         [default: artifact.json]

    Slack:
          --slack-token <TOKEN>    Token of the Slack bot; without it, nobody is told [env: SLACK_TOKEN]
          --slack-api-url <URL>    Where Slack's Web API is [env: SLACK_API_URL=] [default:
                                   https://slack.com/api]
          --message-file <NAME>    Where the posted message is remembered, inside the root [env:
                                   ARTIFACT_MESSAGE_FILE=] [default: message.json]
          --email-suffix <SUFFIX>  The company's e-mail suffix, to find people in Slack [env:
                                   ARTIFACT_EMAIL_SUFFIX=]
    ");
}

#[test]
fn help_of_push() {
    assert_snapshot!(Job::new().run(&["push", "--help"]), @"
    exit: 0
    stdout:
    Zip the root directory and upload it to the release server

    Usage: artifact push [OPTIONS] --http-base-url <URL>

    Options:
          --http-base-url <URL>  Where the release server is [env: ARTIFACT_URL]
          --auth-token <TOKEN>   One of the server's tokens for artifacts; better given in the
                                 environment, where `ps` does not show it [env: ARTIFACT_AUTH_TOKEN]
      -h, --help                 Print help

    Identity provider:
          --idp-url <URL>           Where to log in, if no token of the server is given [env:
                                    ARTIFACT_IDP_URL=]
          --client-id <ID>          What the CI is called there [env: ARTIFACT_CLIENT_ID=]
          --client-secret <SECRET>  Its secret; better given in the environment, where `ps` does not
                                    show it [env: ARTIFACT_CLIENT_SECRET]
          --artifact-scope <SCOPE>  What to ask for [env: ARTIFACT_SCOPE=] [default: release_artifact]

    Place of the artifact:
          --root <DIR>   The directory with artifact.json and one directory per environment [env:
                         ARTIFACT_ROOT=] [default: .]
          --file <NAME>  The name of the file that is written, inside the root [env: ARTIFACT_FILE=]
                         [default: artifact.json]

    Slack:
          --slack-token <TOKEN>    Token of the Slack bot; without it, nobody is told [env: SLACK_TOKEN]
          --slack-api-url <URL>    Where Slack's Web API is [env: SLACK_API_URL=] [default:
                                   https://slack.com/api]
          --message-file <NAME>    Where the posted message is remembered, inside the root [env:
                                   ARTIFACT_MESSAGE_FILE=] [default: message.json]
          --email-suffix <SUFFIX>  The company's e-mail suffix, to find people in Slack [env:
                                   ARTIFACT_EMAIL_SUFFIX=]
    ");
}

#[test]
fn the_version_is_shown() {
    let expected = format!("exit: 0\nstdout:\nartifact {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Job::new().run(&["version"]), expected);
    assert_eq!(Job::new().run(&["--version"]), expected);
}

#[test]
fn help_never_shows_a_token_of_the_environment() {
    let job = Job::new();
    let mut command = job.command(&["push", "--help"]);
    let output =
        command.env("ARTIFACT_AUTH_TOKEN", "hunter2").env("SLACK_TOKEN", "hunter2").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
}

#[test]
fn missing_flags_are_all_named() {
    assert_snapshot!(Job::new().run(&["init", "--service", "svc"]), @"
    exit: 2
    stderr:
    error: the following required arguments were not provided:
      --artifact-id <ID>
      --git-branch <NAME>
      --git-sha <SHA>
      --git-message <TEXT>
      --git-author-name <NAME>
      --git-author-email <ADDRESS>
      --git-committer-name <NAME>
      --git-committer-email <ADDRESS>

    Usage: artifact init --artifact-id <ID> --service <NAME> --git-branch <NAME> --git-sha <SHA> --git-message <TEXT> --git-author-name <NAME> --git-author-email <ADDRESS> --git-committer-name <NAME> --git-committer-email <ADDRESS>

    For more information, try '--help'.
    ");
}

#[test]
fn an_id_that_is_no_name_is_refused() {
    let args = INIT.map(|arg| if arg == "master-1-2" { "feature/x-1-2" } else { arg });
    let job = Job::new();
    assert_snapshot!(job.run(&args), @r"
    exit: 2
    stderr:
    error: invalid value 'feature/x-1-2' for '--artifact-id <ID>': must not contain '/' or '\'

    For more information, try '--help'.
    ");
    assert!(!job.path("artifact.json").exists());
}

#[test]
fn a_count_below_zero_is_refused() {
    assert_snapshot!(Job::started().run(&["add", "test", "--failed=-1"]), @"
    exit: 2
    stderr:
    error: invalid value '-1' for '--failed <COUNT>': -1 is not in 0..=4294967295

    For more information, try '--help'.
    ");
}
