//! Pushing to the real artifact store behind a small server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{post, put},
};
use insta::assert_snapshot;
use release_api::{CreateArtifactRequest, CreateArtifactResponse};
use release_core::Name;
use release_storage::{Checksum, DirectoryStore, Limits, Storage as _, UploadQuery};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};
use url::Url;

use crate::{Job, report};

/// Drops the server when the test ends.
pub(crate) struct Server {
    pub(crate) url: String,
    store: DirectoryStore,
    state: Arc<Requests>,
    runtime: Runtime,
    _directory: TempDir,
}

/// What to answer before the requests are let through, and what was seen.
#[derive(Default)]
struct Requests {
    create_trouble: Mutex<VecDeque<StatusCode>>,
    upload_trouble: Mutex<VecDeque<StatusCode>>,
    seen: Mutex<Vec<&'static str>>,
    authorization: Mutex<Vec<Option<String>>>,
}

type Shared = (DirectoryStore, Arc<Requests>);
type Refusal = (StatusCode, Json<Value>);

impl Server {
    pub(crate) fn start(create_trouble: &[StatusCode], upload_trouble: &[StatusCode]) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let base_url = Url::parse(&url).unwrap();
        let store = DirectoryStore::open(directory.path(), base_url, Limits::default()).unwrap();
        let state = Arc::new(Requests {
            create_trouble: Mutex::new(create_trouble.iter().copied().collect()),
            upload_trouble: Mutex::new(upload_trouble.iter().copied().collect()),
            ..Requests::default()
        });
        let router = Router::new()
            .route("/artifacts/create", post(create))
            .route("/api/v1/uploads/{service}/{id}", put(receive))
            .with_state((store.clone(), state.clone()));
        runtime.spawn(async { axum::serve(listener, router).await });
        Self { url, store, state, runtime, _directory: directory }
    }

    fn push(&self, job: &Job) -> String {
        let mut command = job.command(&["push"]);
        command.env("ARTIFACT_URL", &self.url).env("ARTIFACT_AUTH_TOKEN", "hunter2");
        let report = report(&command.output().unwrap());
        assert!(!report.contains("hunter2"), "{report}");
        report.replace(&self.url, "http://SERVER")
    }

    /// What the requests had to say who they are.
    pub(crate) fn authorization(&self) -> Vec<Option<String>> {
        self.state.authorization.lock().unwrap().clone()
    }

    pub(crate) fn seen(&self) -> Vec<&'static str> {
        self.state.seen.lock().unwrap().clone()
    }

    fn stored_files(&self, environment: &str) -> Vec<(String, String, bool)> {
        let name = |text| Name::new(text).unwrap();
        let (service, id, environment) = (name("svc"), name("master-1-2"), name(environment));
        let files = self.runtime.block_on(self.store.files(&service, &id, &environment)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        files.into_iter().map(|file| (file.path, text(&file.contents), file.executable)).collect()
    }
}

async fn create(
    State((store, state)): State<Shared>,
    headers: HeaderMap,
    Json(request): Json<CreateArtifactRequest>,
) -> Result<(StatusCode, Json<CreateArtifactResponse>), Refusal> {
    state.seen.lock().unwrap().push("create");
    note_authorization(&state, &headers);
    trouble(&state.create_trouble)?;
    let (service, id) =
        (Name::new(&request.artifact.service).unwrap(), Name::new(&request.artifact.id).unwrap());
    let md5 = Checksum::from_base64(&request.md5).unwrap();
    let url = store.upload_url(&service, &id, md5).await.unwrap();
    Ok((StatusCode::CREATED, Json(CreateArtifactResponse { artifact_upload_url: url.into() })))
}

async fn receive(
    State((store, state)): State<Shared>,
    Path((service, id)): Path<(Name, Name)>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    state.seen.lock().unwrap().push("upload");
    note_authorization(&state, &headers);
    trouble(&state.upload_trouble)?;
    let md5 = headers.get("content-md5").and_then(|value| value.to_str().ok());
    let now = chrono::Utc::now();
    let result = store.receive(&service, &id, &query, md5, body.into_data_stream(), now).await;
    result.map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))
}

fn note_authorization(state: &Requests, headers: &HeaderMap) {
    let header = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    state.authorization.lock().unwrap().push(header);
}

fn trouble(planned: &Mutex<VecDeque<StatusCode>>) -> Result<(), Refusal> {
    match planned.lock().unwrap().pop_front() {
        Some(status) => Err(refusal(status, "planned trouble")),
        None => Ok(()),
    }
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    (status, Json(json!({ "status": status.as_u16(), "message": message })))
}

pub(crate) fn built_job() -> Job {
    let job = Job::started();
    job.write("dev/40-deployment.yaml", "kind: Deployment\n");
    job.write("prod/40-deployment.yaml", "kind: Deployment # prod\n");
    job.write("message.json", "{}");
    job
}

/// References are random.
fn without_references(report: &str) -> String {
    let (before, after) = report.split_once("(reference: ").expect("a reference");
    let (_, after) = after.split_once(')').expect("its end");
    format!("{before}(reference: ID){after}")
}

#[test]
fn a_pushed_artifact_is_in_the_store_byte_for_byte() {
    let server = Server::start(&[], &[]);
    let job = built_job();
    assert_snapshot!(server.push(&job), @"
    exit: 0
    stdout:
    Artifact master-1-2 of service svc pushed (4 files, 1 KiB)
    stderr:
    Pushing artifact master-1-2 of service svc …
    ");
    let spec = std::fs::read_to_string(job.path("artifact.json")).unwrap();
    let deployment = ("40-deployment.yaml".to_owned(), "kind: Deployment\n".to_owned(), false);
    assert_eq!(server.stored_files("dev"), [deployment, ("artifact.json".to_owned(), spec, false)]);
    // The token is for the server, not for whoever serves the upload URL.
    assert_eq!(server.authorization(), [Some("Bearer hunter2".to_owned()), None]);
}

#[test]
fn pushing_again_replaces_the_artifact() {
    let server = Server::start(&[], &[]);
    let job = built_job();
    server.push(&job);
    job.write("dev/40-deployment.yaml", "kind: Deployment # second\n");
    assert!(server.push(&job).starts_with("exit: 0"));
    assert_eq!(server.stored_files("dev")[0].1, "kind: Deployment # second\n");
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let server = Server::start(&[busy, busy], &[busy]);
    assert!(server.push(&built_job()).starts_with("exit: 0"));
    assert_eq!(server.seen(), ["create", "create", "create", "upload", "upload"]);
}

#[test]
fn an_expired_url_is_replaced_by_a_fresh_one() {
    let server = Server::start(&[], &[StatusCode::FORBIDDEN]);
    let report = server.push(&built_job());
    assert!(report.starts_with("exit: 0"), "{report}");
    assert!(report.contains("trying again in"), "{report}");
    assert_eq!(server.seen(), ["create", "upload", "create", "upload"]);
}

#[test]
fn a_refusal_is_told_once_with_its_reference() {
    let server = Server::start(&[StatusCode::BAD_REQUEST], &[]);
    assert_snapshot!(without_references(&server.push(&built_job())), @"
    exit: 1
    stderr:
    Pushing artifact master-1-2 of service svc …
    error: the artifact was not pushed: planned trouble (reference: ID)
    ");
    assert_eq!(server.seen(), ["create"]);
}

#[test]
fn a_wrong_token_is_told_with_a_hint() {
    let server = Server::start(&[StatusCode::UNAUTHORIZED], &[]);
    assert_snapshot!(without_references(&server.push(&built_job())), @"
    exit: 1
    stderr:
    Pushing artifact master-1-2 of service svc …
    error: the artifact was not pushed: planned trouble (reference: ID)
    hint: give one of the server's artifact tokens in ARTIFACT_AUTH_TOKEN, or log in with ARTIFACT_IDP_URL
    ");
}

#[test]
fn a_job_without_an_artifact_is_told_before_any_request() {
    let server = Server::start(&[], &[]);
    assert_snapshot!(server.push(&Job::new()), @"
    exit: 1
    stderr:
    error: there is no './artifact.json'
    hint: run `artifact init` first, or name the right directory with --root
    ");
    assert!(server.seen().is_empty());
}

#[test]
fn a_link_in_the_root_is_refused_before_any_request() {
    let server = Server::start(&[], &[]);
    let job = built_job();
    std::os::unix::fs::symlink("prod", job.path("staging")).unwrap();
    assert_snapshot!(server.push(&job), @"
    exit: 1
    stderr:
    error: './staging' is a symbolic link or another special file; remove or rename it
    ");
    assert!(server.seen().is_empty());
}

#[test]
fn a_bad_url_is_wrong_usage_and_a_password_in_it_is_not_shown() {
    let report = built_job().run(&["push", "--http-base-url", "https://jane:hunter2@release.example.com"]);
    assert_snapshot!(report, @"
    exit: 2
    stderr:
    error: --http-base-url (ARTIFACT_URL) must not have a user name or password; give a token instead
    ");
    assert!(built_job().run(&["push"]).starts_with("exit: 2"));
}
