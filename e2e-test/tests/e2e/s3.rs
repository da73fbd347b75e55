//! Artifacts in a bucket: a real S3 and SQS, the real programs, and a client that is not ours.

mod chaos;
mod notifications;
mod wire;

use std::process::Command;

use release_testing::{
    artifact::ArtifactBuilder,
    faults::{Fault, FaultProxy},
    origin::Origin,
    s3::{ACCESS_KEY, REGION, S3, python},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{
        Artifact, Audience, History, LONG, Order, SHORT, Server, Setup, WorkingCopy, answer, run, until,
    },
    walkthrough::Desk,
};

/// A bucket of a test, with faults in front of S3 and of SQS.
struct Cloud {
    bucket: String,
    s3: FaultProxy,
    sqs: FaultProxy,
}

impl Cloud {
    async fn new() -> Self {
        let server = tokio::task::spawn_blocking(S3::shared).await.expect("it starts");
        Self {
            bucket: S3::bucket(),
            s3: FaultProxy::before(server.port()).await,
            sqs: FaultProxy::before(server.port()).await,
        }
    }

    async fn server(&self, origin: &Origin) -> Server {
        self.server_with(origin, &[]).await
    }

    async fn server_with(&self, origin: &Origin, flags: &[&str]) -> Server {
        let own = ["--s3-artifact-storage-bucket-name", &self.bucket, "--s3-artifact-storage-path-style"];
        let flags: Vec<_> = own.iter().chain(flags).copied().collect();
        let (s3, sqs) = (self.s3.url(), self.sqs.url());
        let environment = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL_S3", s3.as_str()),
            ("AWS_ENDPOINT_URL_SQS", sqs.as_str()),
        ];
        let setup = Setup { flags: &flags, environment: &environment, ..Setup::default() };
        Server::start_with(origin, &setup).await
    }

    /// Runs a script of the plain client, past all faults, and reads what it shows.
    async fn plain(&self, script: &str, arguments: &[&str]) -> Value {
        let endpoint = format!("http://127.0.0.1:{}", S3::shared().port());
        let mut command = Command::new(python());
        command.arg("-c").arg(format!("{}{script}", include_str!("s3/plain_client.py")));
        command.args([&endpoint, &self.bucket]).args(arguments);
        serde_json::from_str(&run(command).await.ok()).unwrap_or_default()
    }

    /// Waits until nothing is in the queue, seen or unseen.
    async fn queue_is_empty(&self) {
        const SCRIPT: &str = "
names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible']
show(sqs.get_queue_attributes(QueueUrl=queue(), AttributeNames=names)['Attributes'])";
        until("the queue is empty", LONG, async || {
            let counts = self.plain(SCRIPT, &[]).await;
            counts.as_object().is_some_and(|counts| counts.values().all(|count| count == "0")).then_some(())
        })
        .await;
    }
}

impl Server {
    async fn auto_release(&self, service: &str) {
        let request = self.caller(Audience::Hamctl).request(Method::PATCH, "/policies/auto-release");
        let body = json!({"service": service, "branch": "master", "environment": "dev",
            "committerName": "Jane", "committerEmail": "jane@example.com"});
        let answer = answer(request.json(&body)).await.expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

async fn notifications_up(server: &Server) -> Option<bool> {
    let metrics = server.http.get(server.url("/metrics")).send().await.ok()?.text().await.ok()?;
    let line = metrics.lines().find(|line| line.starts_with("release_manager_artifact_notifications_up "))?;
    Some(line.ends_with(" 1"))
}

async fn until_current(origin: &Origin, service: &str, artifact_id: &str) {
    until(&format!("{artifact_id} of {service} is released"), LONG, async || {
        (History::of(origin).current(service, "dev")? == artifact_id).then_some(())
    })
    .await;
}

async fn put(url: &str, md5: &str, body: Vec<u8>) -> u16 {
    let http = reqwest::Client::builder().no_proxy().timeout(SHORT).build().expect("a client");
    let sent = http.put(url).header("content-md5", md5).body(body).send().await;
    sent.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_is_pushed_to_a_bucket_and_released_by_itself() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    let desk = Desk::at(&server);
    let (first, second) = ("master-0017d995e3-67e9d69164", "master-1117d995e3-67e9d69164");

    desk.build(first).await;
    desk.types(&format!("hamctl release --service payments --artifact {first} --env prod --wait")).await.ok();
    desk.types("hamctl policy apply auto-release --service payments -b master -e dev").await.ok();
    desk.build(second).await;
    until_current(&origin, "payments", second).await;
    assert_eq!(desk.running("payments").await, format!("dev={second} prod={first}"));
    let listed = desk.types("hamctl describe artifact --service payments --count 9").await.ok();
    let at = |id| listed.find(id).unwrap_or_else(|| panic!("{id} is not in {listed}"));
    assert!(at(second) < at(first), "{listed}");
    cloud.queue_is_empty().await;
    assert_eq!(server.terminate().await.code(), Some(0));
    origin.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_announced_zip_can_be_uploaded() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    let artifact = Artifact::new("svc", "master-1-2");
    let url = server.upload_url(&artifact).await;
    // The store sees to it.
    for fact in ["X-Amz-Expires=900", "X-Amz-SignedHeaders=content-md5%3Bhost"] {
        assert!(url.contains(fact), "{fact} is not in {url}");
    }
    let mut other = artifact.zip.clone();
    other[40] ^= 1;
    let other_md5 = Artifact { zip: other.clone(), ..artifact.clone() }.md5();
    assert_eq!(put(&url, &artifact.md5(), other.clone()).await, 400);
    assert_eq!(put(&url, &other_md5, other).await, 403);
    let tampered = url.replace("/svc/master-1-2", "/svc/master-1-3");
    assert_eq!(put(&tampered, &artifact.md5(), artifact.zip.clone()).await, 403);
    let answer = server.get("/describe/artifact/svc?count=1").await;
    assert!(answer.message().contains("'svc' has no artifacts"), "{answer:?}");
    assert_eq!(put(&url, &artifact.md5(), artifact.zip.clone()).await, 200);
    let answer = server.get("/describe/artifact/svc?count=1").await;
    assert_eq!(answer.body["artifacts"][0]["id"], "master-1-2", "{answer:?}");
    // The server itself takes no uploads.
    let path = "/api/v1/uploads/svc/master-1-2?expires=1&md5=x&signature=x";
    let request = server.caller(Audience::Artifact).request(Method::PUT, path);
    assert_eq!(self::answer(request).await.expect("an answer").status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_artifacts_than_a_page_are_listed_newest_first() {
    const SCRIPT: &str = "
from concurrent.futures import ThreadPoolExecutor
def at(number):
    return f'2026-01-01T{number // 60:02}:{number % 60:02}:00Z'
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda number: put('svc', f'master-{number:04}-1', end=at(number)), range(1203)))
put('svc', 'master-hotfix-1-1', 'master-hotfix', at(1300))
put('svc-2', 'master-9999-1', end=at(1301))
put('svc', 'master-0500-2', end=at(1302))
s3.put_object(Bucket=bucket, Key='svc/master-9999-9', Body=b'no zip')
s3.put_object(Bucket=bucket, Key='svc/master-9999-9/x', Body=b'three parts')";
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    // A store in Python on a busy machine takes its time for 1,200 artifacts.
    let server = cloud.server_with(&origin, &["--timeout=2m"]).await;
    cloud.plain(SCRIPT, &[]).await;
    let ids = async |path: &str| {
        let answer = server.get(path).await;
        let artifacts = answer.body["artifacts"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
        artifacts.iter().map(|spec| spec["id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/describe/latest-artifact/svc?branch=master").await, ["master-0500-2"]);
    assert_eq!(ids("/describe/latest-artifact/svc?branch=master-hotfix").await, ["master-hotfix-1-1"]);
    assert_eq!(
        ids("/describe/artifact/svc?count=2").await,
        ["master-0500-2", "master-hotfix-1-1"],
        "what cannot be used is left out"
    );
    let all = ids("/describe/artifact/svc?branch=master&count=1000").await;
    assert_eq!(all.len(), 1000);
    // In the order of keys these are on different pages.
    for id in ["master-0500-2", "master-0999-1", "master-1202-1"] {
        assert!(all.iter().any(|found| found == id), "{id} is missing");
    }
    assert!(server.log().contains("left an artifact out of a listing"));
    let answer = server.get("/describe/artifact/svd?count=1").await;
    assert!(answer.message().contains("did you mean 'svc'"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_away_at_the_start_is_made_when_it_can_be() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let mut server = cloud.server(&origin).await;
    server.kill();
    cloud.plain("s3.delete_bucket(Bucket=bucket)\nsqs.delete_queue(QueueUrl=queue())", &[]).await;
    for (fault, problem) in [
        (Fault::Away, "the artifact storage cannot list artifacts: the service cannot be reached"),
        (Fault::Answer(403, "AccessDenied"), "access is denied (AccessDenied: on purpose); give"),
        (Fault::Answer(403, "InvalidAccessKeyId"), "the credentials are not accepted"),
        (Fault::Answer(301, "PermanentRedirect"), "--s3-artifact-storage-region"),
        (Fault::Answer(403, "RequestTimeTooSkewed"), "the clock of this machine is wrong"),
        (Fault::Answer(503, "SlowDown"), "the service has trouble (SlowDown: on purpose)"),
    ] {
        cloud.s3.set(fault);
        server.restart_without_remote().await;
        until(&format!("/ready says '{problem}'"), SHORT, async || {
            let problems = server.ready().await?.problems;
            problems.iter().any(|found| found.contains(problem)).then_some(())
        })
        .await;
        server.kill();
    }
    server.restart_without_remote().await;
    cloud.s3.set(Fault::None);
    until("the server is ready", LONG, async || server.ready().await?.ready.then_some(())).await;
    until("the bucket is joined to the queue", LONG, async || notifications_up(&server).await?.then_some(()))
        .await;
    server.auto_release("svc").await;
    server.push_new("svc", "master-1-2").await;
    until_current(&origin, "svc", "master-1-2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_that_is_replaced_is_released_as_it_is_now() {
    let (origin, cloud) = (Origin::new(), Cloud::new().await);
    let server = cloud.server(&origin).await;
    let old = ArtifactBuilder::new("svc", "master-1-2");
    server.push(&Artifact::built_by(&old)).await;
    let listed = async || server.get("/describe/artifact/svc?count=1").await.body["artifacts"][0].clone();
    assert_eq!(listed().await["application"]["message"], "Make it better");
    let new = Artifact::built_by(&old.message("Make it good").file("dev", "new.yaml", "kind: X\n"));
    server.push(&new).await;
    assert_eq!(listed().await["application"]["message"], "Make it good");
    server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    server.drained().await;
    let copy = WorkingCopy::of(&origin);
    assert_eq!(copy.files("dev/releases/dev/svc"), new.directory("dev"));
    let too_big = cloud.server_with(&origin, &["--artifact-max-bytes=100"]).await;
    let answer = too_big.caller(Audience::Hamctl);
    let answer = answer.order(&Order::new("svc", "prod", "master-1-2")).await.expect("an answer");
    assert!(answer.status == 400 && answer.message().contains("longer than 100 bytes"), "{answer:?}");
}
