//! Building artifact.json step by step.

use std::{fs, process, process::Stdio, thread, time::Duration};

use insta::assert_snapshot;
use release_core::artifact::{StageData, zero_time};

use crate::{INIT, Job};

/// All steps with all their flags, and what they printed.
fn full_job(job: &Job) -> String {
    let optional = "--namespace team --squad aura --provider GitHub --url https://git.example.com/svc \
        --name svc-repo --shuttle-plan-sha 67e9 --shuttle-plan-url git://plan --shuttle-plan-message Plan \
        --shuttle-plan-branch main --ci-job-url https://ci.example.com/84 --user-mappings a@b=c@d";
    let steps = [
        "add build --image registry/svc --tag 1 --docker-version 29.0",
        "add push --image registry/svc --tag 1 --docker-version 29.0",
        "add test --url https://t --passed 10 --failed 1 --skipped 2",
        "add snyk-code --snyk-version 1 --url https://s --language go --high 1 --medium 2 --low 3",
        "add snyk-docker --tag 1 --snyk-version 1 --url https://s --base-image alpine --high 4",
        "end",
        "successful",
    ];
    let init = job.run(&[&INIT[..], &words(optional)].concat());
    let reports: String = steps.iter().map(|step| job.run(&words(step))).collect();
    init + &reports
}

#[test]
fn each_step_says_what_it_did() {
    assert_snapshot!(full_job(&Job::new()), @"
    exit: 0
    stdout:
    Artifact master-1-2 of service svc started
    exit: 0
    stdout:
    Stage 'Build' added to artifact master-1-2
    exit: 0
    stdout:
    Stage 'Push' added to artifact master-1-2
    exit: 0
    stdout:
    Stage 'Test' added to artifact master-1-2
    exit: 0
    stdout:
    Stage 'Security Scan - Code' added to artifact master-1-2
    exit: 0
    stdout:
    Stage 'Security Scan - Docker' added to artifact master-1-2
    exit: 0
    stdout:
    Artifact master-1-2 has ended
    exit: 0
    stdout:
    The build was successful
    ");
}

#[test]
fn each_flag_arrives_in_its_field() {
    let job = Job::new();
    full_job(&job);
    let mut spec = job.spec();
    assert!(spec.ci.start <= spec.ci.end && spec.ci.start != zero_time());
    spec.ci.start = zero_time();
    spec.ci.end = zero_time();
    assert_snapshot!(spec.to_json(), @r#"
    {
      "id": "master-1-2",
      "service": "svc",
      "namespace": "team",
      "squad": "aura",
      "application": {
        "branch": "master",
        "sha": "0017d995e32e",
        "authorName": "Jane",
        "authorEmail": "jane@example.com",
        "committerName": "John",
        "committerEmail": "john@example.com",
        "message": "Fix login",
        "name": "svc-repo",
        "url": "https://git.example.com/svc",
        "provider": "GitHub"
      },
      "ci": {
        "jobUrl": "https://ci.example.com/84",
        "start": "0001-01-01T00:00:00Z",
        "end": "0001-01-01T00:00:00Z"
      },
      "shuttle": {
        "plan": {
          "branch": "main",
          "sha": "67e9",
          "message": "Plan",
          "url": "git://plan"
        }
      },
      "stages": [
        {
          "id": "build",
          "name": "Build",
          "data": {
            "image": "registry/svc",
            "tag": "1",
            "dockerVersion": "29.0"
          }
        },
        {
          "id": "push",
          "name": "Push",
          "data": {
            "image": "registry/svc",
            "tag": "1",
            "dockerVersion": "29.0"
          }
        },
        {
          "id": "test",
          "name": "Test",
          "data": {
            "url": "https://t",
            "results": {
              "passed": 10,
              "failed": 1,
              "skipped": 2
            }
          }
        },
        {
          "id": "snyk-code",
          "name": "Security Scan - Code",
          "data": {
            "snykVersion": "1",
            "url": "https://s",
            "language": "go",
            "vulnerabilities": {
              "high": 1,
              "medium": 2,
              "low": 3
            }
          }
        },
        {
          "id": "snyk-docker",
          "name": "Security Scan - Docker",
          "data": {
            "tag": "1",
            "snykVersion": "1",
            "url": "https://s",
            "baseImage": "alpine",
            "vulnerabilities": {
              "high": 4,
              "medium": 0,
              "low": 0
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn a_stage_that_comes_again_replaces_the_first() {
    let job = Job::started();
    job.run(&["add", "build", "--tag", "1"]);
    job.run(&["add", "build", "--tag", "2"]);
    let spec = job.spec();
    assert_eq!(spec.stages.len(), 1);
    assert!(matches!(&spec.stages[0].data, StageData::Build(image) if image.tag == "2"));
}

#[test]
fn the_file_is_where_flags_or_environment_say() {
    let job = Job::new();
    fs::create_dir(job.path("out")).unwrap();
    let args = [&["--root", "out", "--file", "build.json"], &INIT[..]].concat();
    job.command(&args).assert().success();
    job.command(&["end", "--file", "build.json"]).env("ARTIFACT_ROOT", "out").assert().success();
    assert!(fs::read_to_string(job.path("out/build.json")).unwrap().ends_with("}\n"));
    assert_eq!(fs::read_dir(job.path("out")).unwrap().count(), 1);
}

#[test]
fn flags_of_slack_are_accepted() {
    let job = Job::started();
    let args = ["end", "--slack-token", "x", "--message-file", "m.json", "--email-suffix", "@example.com"];
    job.command(&args).assert().success();
}

#[test]
fn a_failure_is_said_and_does_not_fail_the_job_again() {
    assert_snapshot!(Job::new().run(&["failure", "--error-message", "no space\nleft"]), @"
    exit: 0
    stdout:
    The build failed: no space left
    ");
}

#[test]
fn a_step_before_init_says_what_to_do() {
    assert_snapshot!(Job::new().run(&["end"]), @"
    exit: 1
    stderr:
    error: there is no './artifact.json'
    hint: run `artifact init` first, or name the right directory with --root
    ");
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let job = Job::new();
    job.write("artifact.json", r#"{"colour":"red"}"#);
    assert_snapshot!(job.run(&["add", "test"]), @"
    exit: 1
    stderr:
    error: './artifact.json' is damaged: artifact.json cannot be read: unknown field `colour`, expected one of `id`, `service`, `namespace`, `squad`, `application`, `ci`, `shuttle`, `stages` at line 1 column 9
    hint: run `artifact init` again
    ");
    assert_eq!(fs::read_to_string(job.path("artifact.json")).unwrap(), r#"{"colour":"red"}"#);
}

#[test]
fn a_root_that_is_missing_is_named() {
    assert_snapshot!(Job::new().run(&[&["--root", "nowhere"], &INIT[..]].concat()), @"
    exit: 1
    stderr:
    error: 'nowhere/artifact.json' cannot be written: No such file or directory (os error 2)
    ");
}

#[test]
fn stages_that_run_side_by_side_are_all_kept() {
    let job = Job::started();
    let stages = ["build", "push", "snyk-code", "snyk-docker", "test"];
    thread::scope(|scope| {
        for stage in stages {
            let job = &job;
            scope.spawn(move || job.command(&["add", stage]).assert().success());
        }
    });
    let mut ids: Vec<_> = job.spec().stages.into_iter().map(|stage| stage.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, stages);
}

/// Kills steps at moments all over their short life.
#[test]
fn a_killed_step_leaves_the_old_or_the_new_file() {
    let job = Job::started();
    let mut known = 0;
    for round in 1..=100 {
        let mut step = process::Command::new(assert_cmd::cargo::cargo_bin!("artifact"))
            .env_clear()
            .current_dir(job.root.path())
            .args(["add", "test", "--passed", &round.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(round * 50));
        step.kill().unwrap();
        step.wait().unwrap();
        let passed = passed(&job);
        assert!(passed == known || passed == round, "{passed} after {known} and {round}");
        known = passed;
    }
    job.command(&["add", "test", "--passed", "1000"]).assert().success();
    assert_eq!(passed(&job), 1000);
    assert_eq!(fs::read_dir(job.root.path()).unwrap().count(), 1);
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn passed(job: &Job) -> u64 {
    let spec = job.spec();
    let Some(stage) = spec.stages.first() else { return 0 };
    match &stage.data {
        StageData::Test(test) => test.results.passed.try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}
