//! The one message in `#builds`, and that Slack never fails a job.

use std::{
    process::Output,
    time::{Duration, Instant},
};

use release_testing::fake::{self, Behaviour, Slack};
use tokio::runtime::Runtime;

use crate::{INIT, Job, report};

/// A job of a company that uses Slack.
struct Company {
    job: Job,
    slack: Slack,
    _runtime: Runtime,
}

impl Company {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let slack = runtime.block_on(Slack::start());
        Self { job: Job::new(), slack, _runtime: runtime }
    }

    fn output(&self, args: &[&str]) -> Output {
        let mut command = self.job.command(args);
        command.env("SLACK_TOKEN", fake::TOKEN).env("SLACK_API_URL", self.slack.url());
        command.env("ARTIFACT_EMAIL_SUFFIX", "@example.com").output().unwrap()
    }

    /// What the step said; it must not have failed.
    fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        assert!(!report.contains(fake::TOKEN), "{report}");
        report
    }

    fn text(&self) -> String {
        self.slack.messages()[0].attachment["text"].as_str().unwrap().to_owned()
    }
}

#[test]
fn one_message_grows_with_the_job() {
    let company = Company::new();
    company.run(&INIT);
    assert_eq!(company.slack.recipients(), ["#builds"]);
    let message = company.slack.messages().remove(0);
    assert_eq!(message.attachment["title"], "svc is being built");
    assert_eq!(message.attachment["color"], "#FADE2A");

    company.run(&["add", "test", "--passed", "42"]);
    company.run(&["add", "build", "--image", "registry/svc", "--tag", "1"]);
    assert!(company.text().ends_with(
        ":white_check_mark: *Test*: 42 passed, 0 failed, 0 skipped\n:white_check_mark: *Build*: registry/svc:1"
    ));
    company.run(&["end"]);
    company.run(&["successful"]);
    let messages = company.slack.messages();
    assert_eq!((messages.len(), messages[0].updates), (2, 3));
    assert_eq!(messages[0].attachment["color"], "#73BF69");
    assert_eq!(messages[1].to, "jane@example.com");
    assert_eq!(messages[1].attachment["title"], "svc was built");

    // The next job in the same directory has a message of its own.
    company.run(&INIT);
    assert_eq!(company.slack.recipients(), ["#builds", "jane@example.com", "#builds"]);
}

#[test]
fn a_failure_is_shown_to_all_and_told_to_the_author() {
    let company = Company::new();
    company.run(&INIT);
    company.run(&["failure", "--error-message", "tests <failed>"]);
    let messages = company.slack.messages();
    assert_eq!(messages[0].attachment["color"], "#F2495C");
    assert!(company.text().ends_with(":no_entry: *tests &lt;failed&gt;*"));
    assert_eq!(messages[1].to, "jane@example.com");
}

#[test]
fn steps_that_run_side_by_side_are_all_in_the_message() {
    let company = Company::new();
    company.run(&INIT);
    std::thread::scope(|scope| {
        for stage in ["test", "build", "push", "snyk-code", "snyk-docker"] {
            let company = &company;
            scope.spawn(move || company.run(&["add", stage]));
        }
    });
    assert_eq!(company.text().matches(":white_check_mark:").count(), 5);
    assert_eq!(company.slack.recipients(), ["#builds"]);
}

#[test]
fn trouble_with_slack_is_a_warning_and_the_next_step_makes_up_for_it() {
    let company = Company::new();
    for behaviour in [
        Behaviour::Fails(500),
        Behaviour::Fails(404),
        Behaviour::LimitsRate(3600),
        Behaviour::Resets,
        Behaviour::Floods,
    ] {
        company.slack.behave(behaviour);
        let report = company.run(&INIT);
        assert!(report.contains("warning: Slack was not told: "), "{behaviour:?}: {report}");
    }
    company.slack.behave(Behaviour::Works);
    company.run(&["add", "test"]);
    assert_eq!(company.slack.recipients(), ["#builds"]);
    assert!(company.text().ends_with("*Test*: 0 passed, 0 failed, 0 skipped"));

    company.job.write("message.json", "{\"posted\"");
    company.run(&["successful"]);
    assert_eq!(company.slack.recipients(), ["#builds", "#builds", "jane@example.com"]);
}

#[test]
fn a_slack_that_hangs_takes_seconds_and_not_the_job() {
    let company = Company::new();
    company.slack.behave(Behaviour::Hangs);
    let started = Instant::now();
    let report = company.run(&INIT);
    assert!(report.contains("warning: Slack was not told: "), "{report}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn addresses_outside_the_company_are_mapped_in_the_artifact() {
    let company = Company::new();
    let with_mapping = [&INIT[..], &["--user-mappings", "john@home.io=john@example.com"]].concat();
    let with_mapping: Vec<_> = with_mapping
        .into_iter()
        .map(|arg| if arg == "john@example.com" { "john@home.io" } else { arg })
        .collect();
    company.run(&with_mapping);
    assert_eq!(company.job.spec().application.committer_email, "john@example.com");

    let stranger = INIT.map(|arg| if arg == "jane@example.com" { "eve@home.io" } else { arg });
    let report = company.run(&stranger);
    assert!(report.contains("warning: eve@home.io is no company address"), "{report}");
    assert_eq!(company.job.spec().application.author_email, "eve@home.io");
    company.run(&["successful"]);
    assert_eq!(company.slack.recipients(), ["#builds", "#builds"]);
}

#[test]
fn without_a_token_nothing_is_remembered() {
    let job = Job::started();
    assert!(!job.path("message.json").exists());
}
