use super::*;
use crate::rollout::{ConditionError, ContainerError, JobFailed, PodFailed, Succeeded};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn record(number: u64, object: &str, what: What) -> Record {
    let (kind, name) = object.split_once('/').unwrap();
    let object = WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() };
    Record { event: Uuid::from_u64_pair(0, number), at: at(number.cast_signed()), object, what }
}

fn succeeded(number: u64, object: &str) -> Record {
    record(number, object, What::Succeeded { available: 2, desired: 2 })
}

fn failed(number: u64, object: &str) -> Record {
    record(number, object, What::Failed { error: format!("error {number}") })
}

fn note(records: &[Record]) -> String {
    records.iter().fold(String::new(), |note, record| append(Some(&note), record).unwrap())
}

#[test]
fn what_a_daemon_told_becomes_a_line_that_is_read_back() {
    let error = |name: &str, message: &str| ContainerError {
        name: name.into(),
        message: message.into(),
        kind: "CrashLoopBackOff".into(),
    };
    let pod = PodFailed {
        pod_name: "api-1".into(),
        namespace: "dev".into(),
        errors: vec![error("api", "cannot open\nthe database "), error("side", "")],
        ..PodFailed::default()
    };
    let job = JobFailed {
        job_name: "migrate".into(),
        namespace: "dev".into(),
        errors: vec![ConditionError { reason: "BackoffLimitExceeded".into(), message: "gave up".into() }],
        ..JobFailed::default()
    };
    let good = Succeeded {
        name: "api".into(),
        namespace: "dev".into(),
        resource_type: "Deployment".into(),
        available_pods: 3,
        replicas: 4,
        ..Succeeded::default()
    };
    let event = Uuid::nil();
    for (report, expected) in [
        (
            Report::PodFailed(pod),
            r#""kind":"Pod","namespace":"dev","name":"api-1","what":"failed","error":"api: CrashLoopBackOff: cannot open\nthe database; side: CrashLoopBackOff""#,
        ),
        (
            Report::JobFailed(job),
            r#""kind":"Job","namespace":"dev","name":"migrate","what":"failed","error":"BackoffLimitExceeded: gave up""#,
        ),
        (
            Report::Succeeded(good),
            r#""kind":"Deployment","namespace":"dev","name":"api","what":"succeeded","available":3,"desired":4"#,
        ),
    ] {
        let record = Record::new(event, at(0), &report).unwrap();
        let line = append(None, &record).unwrap();
        let start = r#"{"event":"00000000-0000-0000-0000-000000000000","at":"1970-01-01T00:00:00Z","#;
        assert_eq!(line, format!("{start}{expected}}}\n"));
        assert_eq!(parse(&line), [record]);
    }
}

#[test]
fn an_event_is_added_once_and_lines_of_others_stay() {
    let theirs = "a person's remark\n{\"event\":\"of a newer version\"}\n";
    let one = append(Some(theirs), &succeeded(1, "Deployment/api")).unwrap();
    assert!(one.starts_with(theirs));
    assert_eq!(append(Some(&one), &failed(1, "Pod/api-1")), None);
    let two = append(Some(&one), &failed(2, "Pod/api-1")).unwrap();
    assert!(two.starts_with(&one));
    assert_eq!(parse(&two), [succeeded(1, "Deployment/api"), failed(2, "Pod/api-1")]);
    let unfinished = append(Some("no line end"), &failed(2, "Pod/api-1")).unwrap();
    assert!(unfinished.starts_with("no line end\n{"));
}

#[test]
fn a_note_stays_small_and_keeps_the_first_error_and_the_last_success() {
    let mut records =
        vec![failed(1, "Pod/api-1"), succeeded(2, "Deployment/api"), succeeded(3, "Deployment/api")];
    records.extend((4..200).map(|number| failed(number, "Pod/api-1")));
    let note = format!("a remark\n{}", note(&records));
    let note = append(Some(&note), &failed(200, "Pod/api-1")).unwrap();
    let kept = parse(&note);
    assert_eq!(kept.len(), MAX_RECORDS);
    let ids: Vec<u128> = kept.iter().map(|record| record.event.as_u128()).collect();
    assert_eq!((ids[0], ids[1], ids[2], ids[MAX_RECORDS - 1]), (1, 3, 153, 200));
    assert!(note.starts_with("a remark\n"));

    let errors = vec![ContainerError { message: "x".repeat(10_000), ..ContainerError::default() }];
    let long = Report::PodFailed(PodFailed { errors, ..PodFailed::default() });
    let line = append(None, &Record::new(Uuid::nil(), at(0), &long).unwrap()).unwrap();
    assert!(line.len() < 1500, "{}", line.len());
}

/// Records, and what the outcome is: since when, how many are available, and the error.
type Case<'a> = (&'a [Record], Option<(i64, i32, Option<&'a str>)>);

#[test]
fn the_last_word_about_each_workload_counts() {
    let (api, worker) = ("Deployment/api", "Deployment/api-worker");
    let cases: &[Case<'_>] = &[
        (&[], None),
        (&[succeeded(1, api)], Some((1, 2, None))),
        (&[succeeded(1, api), succeeded(2, worker)], Some((2, 4, None))),
        (&[succeeded(1, api), succeeded(2, api)], Some((2, 2, None))),
        (&[failed(1, "Pod/api-7d-x")], Some((1, 0, Some("error 1")))),
        (&[failed(1, "Pod/api-7d-x"), failed(2, "Pod/api-7d-y")], Some((1, 0, Some("error 1")))),
        (&[failed(1, "Pod/api-7d-x"), succeeded(2, api)], Some((2, 2, None))),
        (&[failed(1, "Pod/api-7d-x"), succeeded(2, worker)], Some((1, 2, Some("error 1")))),
        (&[failed(1, "Pod/api-worker-7d-x"), succeeded(2, worker)], Some((2, 2, None))),
        (&[succeeded(1, api), failed(2, "Pod/api-7d-x")], Some((2, 2, Some("error 2")))),
        (&[succeeded(1, api), failed(700, "Pod/api-7d-x")], Some((1, 2, None))),
        (&[succeeded(1, api), failed(700, "Pod/api-worker-7d-x")], Some((700, 2, Some("error 700")))),
        (&[succeeded(1, api), failed(700, "Job/cron-1")], Some((1, 2, None))),
        (&[succeeded(1, api), failed(600, "Job/migrate")], Some((600, 2, Some("error 600")))),
        // Flux's alert of a workload.
        (&[failed(1, "Pod/api"), succeeded(2, api)], Some((2, 2, None))),
        (&[failed(1, "Job/migrate"), succeeded(2, api)], Some((1, 2, Some("error 1")))),
    ];
    for (records, expected) in cases {
        let found = outcome(records);
        let found = found.as_ref().map(|o| (o.at.timestamp(), o.available, o.error.as_deref()));
        assert_eq!(found, *expected, "{records:?}");
    }
}

#[test]
fn a_pod_is_its_workloads() {
    let of =
        |kind: &str, name: &str| WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() };
    for (pod, workload, expected) in [
        ("Pod/api-7d9f-x2x1z", of("Deployment", "api"), true),
        ("Pod/db-0", of("StatefulSet", "db"), true),
        ("Pod/api", of("Deployment", "api"), true),
        ("Pod/api", of("Job", "api"), false),
        ("Pod/api-worker-7d9f-x2x1z", of("Deployment", "api-worker"), true),
        ("Pod/api-worker-7d9f-x2x1z", of("Deployment", "api"), false),
        ("Pod/apis-0", of("Deployment", "api"), false),
        ("Pod/migrate-x", of("Job", "migrate"), false),
        ("Job/migrate", of("Job", "migrate"), true),
        ("Deployment/api", of("StatefulSet", "api"), false),
    ] {
        assert_eq!(failed(1, pod).is_about(&workload), expected, "{pod} {workload:?}");
    }
}
