//! The client against a real HTTP listener.

mod identity;
mod server;

use std::time::Duration;

use release_api::{CreateArtifactRequest, ReleaseRequest};
use release_client::{Client, ClientConfig, ClientError, Credentials, Secret, parse_base_url};
use release_core::{Intent, Spec};
use server::{Answer, Server};

const ID: &str = "00000000-0000-0000-0000-000000000001";

fn client(base_url: &str) -> Client {
    Client::new(ClientConfig {
        base_url: parse_base_url(base_url).unwrap(),
        timeout: Duration::from_secs(5),
        credentials: Credentials::Token(Secret::new("hunter2")),
        cli_version: "1.2.3".into(),
        trace: || None,
    })
    .unwrap()
}

fn request() -> ReleaseRequest {
    ReleaseRequest {
        service: "svc".into(),
        environment: "dev".into(),
        artifact_id: "master-1-2".into(),
        committer_name: String::new(),
        committer_email: String::new(),
        intent: Intent::ReleaseArtifact,
    }
}

#[tokio::test]
async fn a_request_says_who_calls_and_names_are_encoded() {
    let server = Server::start([Answer::json(200, r#"{"service":"a/b","environment":"dev"}"#)]).await;
    client(&format!("{}/base/", server.url())).describe_release("a/b ?", "dev", 3, "team").await.unwrap();
    let seen = server.requests();
    assert_eq!(seen[0].line, "GET /base/describe/release/a%2Fb%20%3F/dev?count=3&namespace=team");
    assert_eq!(seen[0].header("authorization"), "Bearer hunter2");
    assert_eq!(seen[0].header("x-cli-version"), "1.2.3");
    assert_eq!(seen[0].header("x-request-id").len(), 36);
}

#[tokio::test]
async fn every_endpoint_has_its_path() {
    let server = Server::start([Answer::json(
        200,
        r#"{"service":"s","environment":"e","artifacts":[{"id":"m-1"}],"artifactUploadUrl":"u",
            "environments":[],"services":[],"pending":[],"dead":[]}"#,
    )])
    .await;
    let client = client(&server.url());
    client.describe_artifacts("svc", 5, "").await.unwrap();
    client.describe_artifacts("svc", 5, "feature/x").await.unwrap();
    assert_eq!(client.latest_artifact("svc", "master").await.unwrap().id, "m-1");
    let create = CreateArtifactRequest { artifact: Spec::default(), md5: "x".into() };
    assert_eq!(client.create_artifact(&create).await.unwrap().artifact_upload_url, "u");
    client.services().await.unwrap();
    client.events().await.unwrap();
    client.retry_event(ID.parse().unwrap()).await.unwrap();
    client.drop_event(ID.parse().unwrap()).await.unwrap();
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /describe/artifact/svc?count=5",
            "GET /describe/artifact/svc?count=5&branch=feature%2Fx",
            "GET /describe/latest-artifact/svc?branch=master",
            "POST /artifacts/create",
            "GET /api/v1/services",
            "GET /api/v1/events",
            &format!("POST /api/v1/events/{ID}/retry"),
            &format!("DELETE /api/v1/events/{ID}"),
        ]
    );
}

#[tokio::test]
async fn names_that_would_leave_the_path_are_refused() {
    for name in ["", ".", ".."] {
        let error = client("http://127.0.0.1:1").describe_artifacts(name, 1, "").await.unwrap_err();
        assert!(matches!(error, ClientError::BadName(_)), "{error}");
    }
}

#[tokio::test]
async fn newer_fields_nulls_and_omissions_are_fine() {
    let server = Server::start([
        Answer::json(200, r#"{"environments":[{"name":"dev","author":null,"new":1}],"new":{}}"#),
        Answer::json(200, "{}"),
        Answer::json(200, r#"{"service":"svc","environment":"dev","releases":null}"#),
    ])
    .await;
    let client = client(&server.url());
    assert_eq!(client.status("svc", "").await.unwrap().environments[0].name, "dev");
    assert!(client.status("svc", "").await.unwrap().environments.is_empty());
    assert!(client.describe_release("svc", "dev", 1, "").await.unwrap().releases.is_empty());
}

#[tokio::test]
async fn a_release_is_repeated_with_the_same_key_when_the_server_did_not_take_it() {
    let server = Server::start([
        Answer::json(503, r#"{"status":503,"message":"try again in a moment"}"#),
        Answer::json(200, r#"{"releaseId":"r-1"}"#),
    ])
    .await;
    let client = client(&server.url());
    assert_eq!(client.release(&request()).await.unwrap().release_id, "r-1");
    client.release(&request()).await.unwrap();
    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    let key = |index: usize| seen[index].header("idempotency-key");
    assert_eq!(key(0), key(1));
    assert_ne!(key(1), key(2), "another release has another key");
    assert_ne!(seen[0].header("x-request-id"), seen[1].header("x-request-id"));
    assert_eq!(
        seen[0].body,
        r#"{"service":"svc","environment":"dev","artifactId":"master-1-2","intent":{"type":"ReleaseArtifact","releaseBranch":{},"promote":{},"rollback":{}}}"#
    );
}

#[tokio::test]
async fn after_a_cut_a_release_is_not_repeated_and_a_reading_call_is() {
    let server = Server::start([Answer::Cut]).await;
    let error = client(&server.url()).release(&request()).await.unwrap_err();
    assert!(matches!(error, ClientError::Interrupted { .. }) && error.is_ambiguous(), "{error}");
    assert_eq!(server.requests().len(), 1);

    let server = Server::start([Answer::Cut, Answer::Cut, Answer::json(200, "{}")]).await;
    client(&server.url()).status("svc", "").await.unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn retries_end() {
    let server = Server::start([Answer::json(503, r#"{"status":503,"message":"busy"}"#)]).await;
    let error = client(&server.url()).status("svc", "").await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 503: busy");
    assert_eq!(server.requests().len(), 4);
    assert_eq!(error.request_id().unwrap().to_string(), server.requests()[3].header("x-request-id"));
}

#[tokio::test]
async fn every_kind_of_answer_has_its_error() {
    let too_large = format!("{{\"x\":\"{}\"}}", "x".repeat(17 << 20));
    let cases = [
        (Answer::json(400, r#"{"status":400,"message":"service: missing"}"#), "service: missing"),
        (Answer::json(401, r#"{"status":401,"message":"bad token"}"#), "bad token"),
        (Answer::json(401, ""), "the server does not accept the token, or wants one"),
        (Answer::json(500, r#"{"status":500,"message":"oh"}"#), "the server answered 500: oh"),
        (
            Answer::json(200, "<html>log in</html>"),
            "URL answered 200 with something that is not from a release server",
        ),
        (
            Answer::json(403, "<html>no</html>"),
            "URL answered 403 with something that is not from a release server",
        ),
        (
            Answer::json(200, r#"{"environments":7}"#),
            "the server's answer cannot be understood: invalid type: integer `7`, expected a sequence",
        ),
        (Answer::json(200, &too_large), "the server's answer is larger than 16 MiB"),
        (
            Answer::redirect("https://other.example.com/status?token=secret"),
            "the server at URL answered 301 and wants to be called at https://other.example.com",
        ),
    ];
    for (answer, expected) in cases {
        let server = Server::start([answer]).await;
        let error = client(&server.url()).status("svc", "").await.unwrap_err();
        assert_eq!(error.to_string().replace(&server.url(), "URL"), expected);
        assert_eq!(error.request_id().unwrap().to_string(), server.requests()[0].header("x-request-id"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let error = client("http://127.0.0.1:1/secret-path").status("svc", "").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the server at http://127.0.0.1:1 cannot be reached: "), "{text}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = Server::start([Answer::Hang]).await;
    let client = Client::new(ClientConfig {
        base_url: parse_base_url(&server.url()).unwrap(),
        timeout: Duration::from_millis(100),
        credentials: Credentials::None,
        cli_version: "1".into(),
        trace: || None,
    })
    .unwrap();
    let error = client.release(&request()).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }) && error.is_ambiguous(), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_older_server_is_told_from_an_unknown_release() {
    let older = [
        Answer::json(404, "404 page not found\n"),
        Answer::json(404, r#"{"code":404,"message":"path /api/v1/releases/x was not found"}"#),
        Answer::json(405, ""),
    ];
    for answer in older {
        let server = Server::start([answer]).await;
        let error = client(&server.url()).release_status("x").await.unwrap_err();
        assert_eq!(error.to_string(), "the server is too old to tell how far a release is");
    }
    let server = Server::start([Answer::json(404, r#"{"status":404,"message":"no release 'x'"}"#)]).await;
    let error = client(&server.url()).release_status("x").await.unwrap_err();
    assert_eq!(error.to_string(), "no release 'x'");
}

#[tokio::test]
async fn an_upload_has_its_checksum_and_length_and_no_token() {
    let zip = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(zip.path(), "zip bytes").unwrap();
    let server = Server::start([Answer::json(503, "<Busy/>"), Answer::json(200, "")]).await;
    let url = format!("{}/put?signature=s", server.url());
    client("http://127.0.0.1:1").upload(&url, zip.path(), "bWQ1").await.unwrap();
    let seen = server.requests();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.line, "PUT /put?signature=s");
        assert_eq!(request.body, "zip bytes");
        assert_eq!((request.header("content-md5"), request.header("content-length")), ("bWQ1", "9"));
        assert_eq!(request.header("authorization"), "");
        assert_eq!(request.header("transfer-encoding"), "");
    }
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let zip = tempfile::NamedTempFile::new().unwrap();
    let server = Server::start([Answer::json(400, "<Error>BadDigest</Error>")]).await;
    let error = client("http://127.0.0.1:1").upload(&server.url(), zip.path(), "x").await.unwrap_err();
    assert_eq!(error.to_string(), "the upload was refused with 400: <Error>BadDigest</Error>");

    let missing = zip.path().with_extension("none");
    let error = client("http://127.0.0.1:1").upload(&server.url(), &missing, "x").await.unwrap_err();
    assert!(matches!(error, ClientError::File { .. }), "{error}");
}

#[tokio::test]
async fn a_daemon_tells_each_kind_at_its_endpoint_and_happenings_under_their_id() {
    use release_core::rollout::{ClusterState, JobFailed, PodFailed, Report, Succeeded};
    let server = Server::start([Answer::json(200, "{}")]).await;
    let client = client(&server.url());
    let state = ClusterState {
        environment: "dev".into(),
        observed_at: chrono::DateTime::UNIX_EPOCH,
        is_complete: true,
        workloads: Vec::new(),
        gone: Vec::new(),
        appliers: Vec::new(),
    };
    let cases = [
        (Report::Succeeded(Succeeded::default()), "POST /webhook/daemon/k8s/deploy", ID),
        (Report::PodFailed(PodFailed::default()), "POST /webhook/daemon/k8s/error", ID),
        (Report::JobFailed(JobFailed::default()), "POST /webhook/daemon/k8s/joberror", ID),
        (Report::State(state), "POST /api/v1/cluster-state", ""),
    ];
    for (report, line, key) in cases {
        client.tell(&report, ID.parse().unwrap()).await.unwrap();
        let seen = server.requests().pop().unwrap();
        assert_eq!((seen.line.as_str(), seen.header("idempotency-key")), (line, key));
        assert_eq!(seen.body.as_bytes(), report.to_json());
    }
}
