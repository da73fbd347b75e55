//! S3 and SQS in trouble, one kind after the other, under a steady load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use release_client::Client;
use release_testing::{artifact::ArtifactBuilder, faults::Fault, origin::Origin};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Cloud, until_current};
use crate::{
    crashes::{check, load::Load},
    harness::{Artifact, Audience, Caller, LONG, SHORT, Server, answer, until},
};

const CLIENTS: usize = 4;
const AUTO_RELEASED: usize = 3;
/// How long each kind of trouble lasts.
const TROUBLE: Duration = Duration::from_secs(4);
/// A read takes milliseconds; trouble with artifacts must not make it wait.
const QUICK: Duration = Duration::from_secs(2);

/// Reads, all the time, what needs no artifact.
fn reader(caller: Caller, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) {
            for path in ["/status?service=service-1", "/ping", "/describe/release/service-1/dev"] {
                let started = Instant::now();
                let answer = answer(caller.request(reqwest::Method::GET, path)).await.expect("an answer");
                assert!(matches!(answer.status, 200 | 400), "{path}: {answer:?}");
                assert!(started.elapsed() < QUICK, "{path} took {:?}", started.elapsed());
                reads += 1;
            }
            sleep(Duration::from_millis(20)).await;
        }
        reads
    })
}

/// Later builds have smaller names.
fn build_of(service: &str, number: i64) -> Artifact {
    let id = format!("master-{:04}-1", 9_999 - number);
    Artifact::built_by(&ArtifactBuilder::new(service, &id).later(number))
}

/// A CI system that pushes a new build of a service again and again; gives back the last one.
fn builds(server: &Server, service: String, stop: Arc<AtomicBool>) -> JoinHandle<(Artifact, usize)> {
    let client = server.client(Audience::Artifact);
    tokio::spawn(async move {
        let mut number = 0;
        loop {
            let is_last = stop.load(Ordering::Relaxed);
            let artifact = build_of(&service, number);
            timeout(LONG, upload(&client, &artifact)).await.expect("the upload is taken in time");
            number += 1;
            if is_last {
                return (artifact, usize::try_from(number).expect("it is positive"));
            }
            sleep(Duration::from_millis(300)).await;
        }
    })
}

/// As a CI job does it that is started again until it works.
async fn upload(client: &Client, artifact: &Artifact) {
    while try_upload(client, artifact).await.is_none() {
        sleep(Duration::from_millis(50)).await;
    }
}

async fn try_upload(client: &Client, artifact: &Artifact) -> Option<()> {
    let url = client.create_artifact(&artifact.create_request()).await.ok()?.artifact_upload_url;
    let http = reqwest::Client::builder().no_proxy().timeout(SHORT).build().expect("a client");
    let put = http.put(url).header("content-md5", artifact.md5()).body(artifact.zip.clone());
    put.send().await.is_ok_and(|answer| answer.status().is_success()).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::print_stderr, reason = "figures for docs/reliability.md")]
async fn nothing_is_lost_or_doubled_while_s3_and_sqs_are_in_trouble() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    let load = Load::start(&server, CLIENTS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = reader(server.caller(Audience::Hamctl), stop.clone());
    let mut building = Vec::new();
    for number in 0..AUTO_RELEASED {
        let service = format!("auto-{number}");
        server.auto_release(&service).await;
        building.push(builds(&server, service, stop.clone()));
    }

    server.auto_release("probe").await;
    for (number, fault) in (0..).zip([
        Fault::Answer(503, "SlowDown"),
        Fault::Answer(500, "InternalError"),
        Fault::Slow(Duration::from_millis(300)),
        Fault::Cut(900),
        Fault::Away,
    ]) {
        cloud.s3.set(fault);
        cloud.sqs.set(fault);
        sleep(TROUBLE).await;
        cloud.s3.set(Fault::None);
        cloud.sqs.set(Fault::None);
        let recovered = Instant::now();
        until("the server is ready", LONG, async || server.ready().await?.ready.then_some(())).await;
        let ready = recovered.elapsed();
        let probe = build_of("probe", number);
        server.push(&probe).await;
        until_current(&origin, "probe", probe.id()).await;
        eprintln!(
            "{fault:?}: ready after {ready:.1?}, a new artifact released after {:.1?}",
            recovered.elapsed()
        );
    }

    stop.store(true, Ordering::Relaxed);
    let told = load.stop().await;
    let mut uploads = 0;
    for build in building {
        let (last, count) = build.await.expect("it does not panic");
        until_current(&origin, last.service(), last.id()).await;
        uploads += count;
    }
    let reads = reading.await.expect("it does not panic");
    cloud.queue_is_empty().await;
    server.drained().await;
    check(&server, &origin, &told, uploads + 5).await;
    let accepted: usize = told.iter().map(|told| told.accepted.len()).sum();
    eprintln!("{accepted} releases accepted, {uploads} artifacts pushed, {reads} reads; 0 lost, 0 doubled");
}
