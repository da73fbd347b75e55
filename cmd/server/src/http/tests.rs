//! The router, as far as a request gets before the backend is there.

mod daemons;
mod logins;

use std::{
    collections::BTreeSet,
    future::pending,
    io,
    sync::{LazyLock, Mutex},
};

use axum::{
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode, header::AUTHORIZATION},
};
use http_body_util::BodyExt;
use release_api::{ErrorResponse, REQUEST_ID_HEADER};
use serde_json::Value;
use tower::ServiceExt;

use super::{auth::Tokens, error::MAX_BODY_BYTES, *};

const ID: &str = "018f4e6e-0000-7000-8000-000000000000";
const RELEASE: &str =
    r#"{"service":"svc","environment":"dev","artifactId":"m-1","intent":{"type":"ReleaseArtifact"}}"#;
const AUTO_RELEASE: &str = r#"{"service":"svc","branch":"master","environment":"dev"}"#;
const RESTRICTION: &str = r#"{"service":"svc","branchRegex":"^master$","environment":"dev"}"#;
const SUCCEEDED: &str = r#"{"name":"svc","namespace":"dev","resourceType":"Deployment","availablePods":2,"replicas":2,
    "artifactId":"m-1","authorEmail":"","environment":"dev"}"#;
const POD_FAILED: &str = r##"{"podName":"svc-1","namespace":"dev","errors":[{"name":"svc","message":"a\nb","type":"OOMKilled"}],
    "artifactId":"m-1","authorEmail":"j@x.io","environment":"dev","alertSquad":"#alerts"}"##;
const JOB_FAILED: &str = r#"{"jobName":"migrate","namespace":"dev","errors":[{"reason":"x","message":"y"}],"artifactId":"m-1",
    "authorEmail":"j@x.io","environment":"dev"}"#;
const STATE: &str =
    r#"{"environment":"dev","observedAt":"2026-01-02T03:04:05Z","isComplete":true,"workloads":[]}"#;
const ARTIFACT: &str = r#"{"artifact":{"id":"m-1","service":"svc"},"md5":"1B2M2Y8AsgTpgAmY7PhCfg=="}"#;

fn state() -> AppState {
    AppState::new(Metrics::new())
}

fn app(state: AppState) -> Router {
    let tokens = Tokens {
        hamctl: "for-hamctl,second".parse().unwrap(),
        artifact: "for-artifact".parse().unwrap(),
        daemon: "for-daemon".parse().unwrap(),
    };
    let logins = logins(&state, tokens);
    router(state, &logins, Duration::from_secs(5))
}

fn logins(state: &AppState, tokens: Tokens) -> Logins {
    Logins { tokens, jwt: None, metrics: state.metrics().clone() }
}

struct Answer {
    status: u16,
    request_id: String,
    body: String,
}

impl Answer {
    /// The message of an error body, whose status must be that of the answer.
    fn message(&self) -> String {
        let error: ErrorResponse = serde_json::from_str(&self.body)
            .unwrap_or_else(|problem| panic!("no error body ({problem}): {:?}", self.body));
        assert_eq!(error.status, self.status);
        error.message
    }
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let header = response.headers()[REQUEST_ID_HEADER].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, request_id: header, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn request(method: Method, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(body.into())
        .unwrap()
}

async fn get_path(path: &str) -> Answer {
    send(app(state()), request(Method::GET, path, "for-hamctl", "")).await
}

#[tokio::test]
async fn each_audience_has_its_endpoints_and_no_others() {
    let hamctl = [
        (Method::POST, "/release"),
        (Method::GET, "/status"),
        (Method::GET, "/describe/release/svc/dev"),
        (Method::GET, "/describe/artifact/svc"),
        (Method::GET, "/describe/latest-artifact/svc"),
        (Method::GET, "/policies"),
        (Method::DELETE, "/policies"),
        (Method::PATCH, "/policies/auto-release"),
        (Method::PATCH, "/policies/branch-restriction"),
        (Method::GET, "/api/v1/releases/1"),
        (Method::GET, "/api/v1/status"),
        (Method::GET, "/api/v1/metrics/dora"),
        (Method::GET, "/api/v1/environments"),
        (Method::GET, "/api/v1/services"),
        (Method::GET, "/api/v1/events"),
        (Method::POST, "/api/v1/events/1/retry"),
        (Method::DELETE, "/api/v1/events/1"),
    ];
    let artifact = [(Method::POST, "/artifacts/create")];
    let daemon = [
        (Method::POST, "/webhook/daemon/k8s/deploy"),
        (Method::POST, "/webhook/daemon/k8s/error"),
        (Method::POST, "/webhook/daemon/k8s/joberror"),
        (Method::POST, "/api/v1/cluster-state"),
    ];
    let routes = hamctl
        .iter()
        .map(|route| (route, &["for-hamctl", "second"][..]))
        .chain(artifact.iter().map(|route| (route, &["for-artifact"][..])))
        .chain(daemon.iter().map(|route| (route, &["for-daemon"][..])));
    for ((method, path), good) in routes {
        for token in
            ["for-hamctl", "second", "for-artifact", "for-daemon", "", "for-hamct", "for-hamctl,second"]
        {
            let answer = send(app(state()), request(method.clone(), path, token, "")).await;
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, !good.contains(&token), "{method} {path} with {token:?}");
        }
        let bare = Request::builder().method(method).uri(*path).body(Body::empty()).unwrap();
        let answer = send(app(state()), bare).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.message().contains("token"), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_audience_without_tokens_is_refused_whatever_it_sends() {
    let state = state();
    let router = router(state.clone(), &logins(&state, Tokens::default()), Duration::from_secs(5));
    for token in ["", ",", "null"] {
        let answer = send(router.clone(), request(Method::GET, "/status?service=svc", token, "")).await;
        assert_eq!(answer.status, 401);
    }
}

#[tokio::test]
async fn probes_and_the_document_need_no_token() {
    for (path, status, part) in [
        ("/ping", 200, "pong"),
        ("/ready", 503, r#"{"ready":false,"problems":["The server is starting"#),
        ("/metrics", 200, "release_manager_events_pending"),
        ("/api/v1/openapi.json", 200, "\"openapi\""),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = send(app(state()), request).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_good_request_gets_as_far_as_the_backend() {
    let id = format!("/api/v1/releases/{ID}");
    let retry = format!("/api/v1/events/{ID}/retry");
    for (method, path, token, body) in [
        (Method::POST, "/release", "for-hamctl", RELEASE),
        (Method::GET, "/status?service=svc", "for-hamctl", ""),
        (Method::GET, "/status?service=S%C3%B8ren&namespace=", "for-hamctl", ""),
        (Method::GET, "/describe/release/svc/dev?count=10&namespace=team", "for-hamctl", ""),
        (Method::GET, "/describe/artifact/svc?branch=feature/x", "for-hamctl", ""),
        (Method::GET, "/describe/latest-artifact/svc?branch=master", "for-hamctl", ""),
        (Method::GET, "/policies?service=svc", "for-hamctl", ""),
        (Method::DELETE, "/policies", "for-hamctl", r#"{"service":"svc","policyIds":["a"]}"#),
        (Method::PATCH, "/policies/auto-release", "for-hamctl", AUTO_RELEASE),
        (Method::PATCH, "/policies/branch-restriction", "for-hamctl", RESTRICTION),
        (Method::POST, "/webhook/github", "", "{}"),
        (Method::POST, "/webhook/daemon/k8s/deploy", "for-daemon", SUCCEEDED),
        (Method::POST, "/webhook/daemon/k8s/error", "for-daemon", POD_FAILED),
        (Method::POST, "/webhook/daemon/k8s/joberror", "for-daemon", JOB_FAILED),
        (Method::POST, "/api/v1/cluster-state", "for-daemon", STATE),
        (Method::GET, "/api/v1/status?service=svc", "for-hamctl", ""),
        (Method::POST, "/artifacts/create", "for-artifact", ARTIFACT),
        (Method::PUT, "/api/v1/uploads/svc/m-1?expires=1&md5=x&signature=x", "", "zip"),
        (Method::GET, &id, "for-hamctl", ""),
        (Method::GET, "/api/v1/metrics/dora", "for-hamctl", ""),
        (Method::GET, "/api/v1/metrics/dora?squad=two%20words&environment=dev&days=365", "for-hamctl", ""),
        (Method::GET, "/api/v1/environments", "for-hamctl", ""),
        (Method::GET, "/api/v1/services", "for-hamctl", ""),
        (Method::GET, "/api/v1/events", "for-hamctl", ""),
        (Method::POST, &retry, "for-hamctl", ""),
        (Method::DELETE, retry.trim_end_matches("/retry"), "for-hamctl", ""),
    ] {
        let answer = send(app(state()), request(method.clone(), path, token, body)).await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
        assert_eq!(answer.message(), "The server is starting; try again in a moment.", "{method} {path}");
    }
}

#[tokio::test]
async fn bad_input_in_an_address_is_a_400_that_names_the_field() {
    let huge = "x".repeat(60_000);
    let bad_names = [
        ("", "must be given"),
        ("..", "must not be '.' or '..'"),
        ("a%2Fb", "must not contain '/'"),
        ("%2Fetc%2Fpasswd", "must not contain '/'"),
        ("..%2F..%2Fx", "must not contain '/'"),
        ("a%5Cb", "must not contain '/' or '\\'"),
        (".git", "must not start with '.git'"),
        (".GiT", "must not start with '.git'"),
        ("a%00", "must not contain control characters"),
        ("a%0Ab", "must not contain control characters"),
        ("a%20b", "must not contain white space"),
        (&huge, "must not be longer than"),
    ];
    let places = [
        ("/status?service=NAME", "service"),
        ("/api/v1/status?service=NAME", "service"),
        ("/api/v1/status?service=svc&namespace=NAME", "namespace"),
        ("/status?service=svc&namespace=NAME", "namespace"),
        ("/policies?service=NAME", "service"),
        ("/describe/release/NAME/dev", "service"),
        ("/describe/release/svc/NAME", "environment"),
        ("/describe/release/svc/dev?namespace=NAME", "namespace"),
        ("/describe/artifact/NAME", "service"),
        ("/describe/latest-artifact/NAME?branch=master", "service"),
    ];
    for (place, field) in places {
        let (before, _) = place.split_once("NAME").unwrap();
        let is_optional = field == "namespace";
        for (value, problem) in bad_names {
            // An empty part of a path is another route.
            if value.is_empty() && (is_optional || !before.contains('?')) {
                continue;
            }
            let answer = get_path(&place.replace("NAME", value)).await;
            assert_eq!(answer.status, 400, "{place} {value:.40}: {}", answer.body);
            let message = answer.message();
            assert!(message.contains(&format!("{field} {problem}")), "{place} {value:.40}: {message}");
            assert!(message.len() < 500);
        }
    }
    for (path, problem) in [
        ("/status", "service must be given"),
        ("/status?service=a&service=b", "service must be given once"),
        ("/describe/release//dev", "service must be given"),
        ("/describe/release/svc/dev?count=0", "count must be a whole number from 1 to 1000"),
        ("/describe/release/svc/dev?count=-1", "count must be"),
        ("/describe/artifact/svc?count=ten", "count must be"),
        ("/describe/artifact/svc?count=1001", "count must be"),
        ("/describe/artifact/svc?branch=a%00", "branch must not contain control characters"),
        ("/describe/latest-artifact/svc", "branch must be given"),
        ("/describe/latest-artifact/svc?branch=", "branch must be given"),
        ("/describe/release/%FF/dev", "not valid UTF-8"),
        ("/api/v1/metrics/dora?days=0", "days must be a whole number from 1 to 365"),
        ("/api/v1/metrics/dora?days=366", "days must be a whole number from 1 to 365"),
        ("/api/v1/metrics/dora?days=month", "days must be a whole number from 1 to 365"),
        ("/api/v1/metrics/dora?squad=a%00", "squad must not contain control characters"),
        ("/api/v1/releases/1", "id must be a UUID"),
        ("/api/v1/releases/..%2Fx", "id must be a UUID"),
    ] {
        let answer = get_path(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.message().contains(problem), "{path}: {}", answer.body);
    }
    let all = get_path("/describe/release/.git/..?count=x&namespace=a%2Fb").await.message();
    for field in ["service", "environment", "count", "namespace"] {
        assert!(all.contains(&format!("{field} must")), "{all}");
    }
    let all = get_path("/api/v1/metrics/dora?service=.git&environment=..&squad=%07&days=x").await.message();
    for field in ["service", "environment", "squad", "days"] {
        assert!(all.contains(&format!("{field} must")), "{all}");
    }
}

#[tokio::test]
async fn a_bad_body_is_refused_with_a_sentence() {
    let too_long = format!("{{\"service\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
    for (method, path, token) in [
        (Method::POST, "/release", "for-hamctl"),
        (Method::PATCH, "/policies/auto-release", "for-hamctl"),
        (Method::PATCH, "/policies/branch-restriction", "for-hamctl"),
        (Method::DELETE, "/policies", "for-hamctl"),
        (Method::POST, "/artifacts/create", "for-artifact"),
        (Method::POST, "/webhook/daemon/k8s/deploy", "for-daemon"),
        (Method::POST, "/webhook/daemon/k8s/error", "for-daemon"),
        (Method::POST, "/webhook/daemon/k8s/joberror", "for-daemon"),
    ] {
        for (body, status, sentence) in [
            ("", 400, "no body"),
            ("nonsense", 400, "not valid JSON"),
            ("[1]", 400, "must be a JSON object"),
            ("{}", 400, "must be given"),
            (&too_long, 413, "longer than 1048576 bytes"),
        ] {
            let answer = send(app(state()), request(method.clone(), path, token, body.to_owned())).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            assert!(answer.message().contains(sentence), "{path}: {}", answer.body);
        }
        let broken = Body::from_stream(broken_stream());
        let answer = send(app(state()), request(method, path, token, broken)).await;
        assert_eq!((answer.status, answer.message().contains("ended too early")), (400, true));
    }
    let delivery = request(Method::POST, "/webhook/github", "", too_long);
    assert_eq!(send(app(state()), delivery).await.message(), "The body is longer than 1048576 bytes.");
    let wrong = r#"{"service":1,"environment":"../x","intent":[]}"#;
    let answer = send(app(state()), request(Method::POST, "/release", "for-hamctl", wrong)).await;
    assert_eq!(
        answer.message(),
        "The request is not valid: service must be a text, not a number; environment must not contain \
         '/' or '\\'; artifactId must be given; intent must be an object."
    );
}

fn broken_stream() -> impl futures::Stream<Item = Result<&'static str, std::io::Error>> {
    futures::stream::iter([Ok("{\"service\":"), Err(std::io::ErrorKind::ConnectionReset.into())])
}

#[tokio::test]
async fn what_is_no_route_has_an_error_body_too() {
    for (method, path, status) in [
        (Method::GET, "/nonsense", 404),
        (Method::GET, "/", 404),
        (Method::GET, "/policies/auto-release", 405),
        (Method::GET, "/api/v1/nonsense", 404),
        (Method::GET, "/release", 405),
        (Method::PUT, "/api/v1/openapi.json", 405),
        (Method::POST, "/api/v1/uploads/svc/m-1", 405),
        (Method::from_bytes(b"BREW").unwrap(), "/ping", 405),
    ] {
        let answer = send(app(state()), request(method.clone(), path, "for-hamctl", "")).await;
        assert_eq!(answer.status, status, "{method} {path}");
        answer.message();
    }
}

#[tokio::test]
async fn a_sane_request_id_is_echoed_and_another_replaced() {
    for (given, is_kept) in [("build-7", true), ("two words", false), ("", false), (&"x".repeat(129), false)]
    {
        for path in ["/ping", "/nonsense", "/release"] {
            let request =
                Request::builder().uri(path).header(REQUEST_ID_HEADER, given).body(Body::empty()).unwrap();
            let id = send(app(state()), request).await.request_id;
            assert_eq!(id == given, is_kept, "{given:?} on {path}");
            assert!(is_kept || uuid::Uuid::parse_str(&id).is_ok(), "{id}");
        }
    }
}

#[tokio::test]
async fn the_label_of_a_request_is_its_route_and_never_what_was_asked_for() {
    let state = state();
    for (method, path) in [
        (Method::GET, "/describe/artifact/svc-one?count=1"),
        (Method::GET, "/describe/artifact/svc-two"),
        (Method::GET, "/wp-login.php"),
        (Method::from_bytes(b"BREW").unwrap(), "/ping"),
    ] {
        send(app(state.clone()), request(method, path, "for-hamctl", "")).await;
    }
    let text = state.metrics().encode();
    for line in [
        r#"request_duration_seconds_count{method="GET",path="/describe/artifact/{service}",status_code="503"} 2"#,
        r#"request_duration_seconds_count{method="GET",path="unmatched",status_code="404"} 1"#,
        r#"request_duration_seconds_count{method="other",path="/ping",status_code="405"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    for secret in ["svc-one", "svc-two", "wp-login", "BREW"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_panic_is_an_opaque_500_with_the_request_id() {
    async fn broken() -> &'static str {
        panic!("the password is hunter2")
    }
    let router = with_layers(Router::new().route("/", get(broken)), state());
    let answer = send(router, Request::builder().uri("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("hunter2"));
    assert!(answer.message().contains(&answer.request_id), "{}", answer.body);
}

#[tokio::test]
async fn our_own_fault_is_an_opaque_500_with_the_request_id() {
    async fn failing(State(state): State<AppState>) -> Result<(), ApiError> {
        let error = FlowError::Internal("/var/lib/secret is broken".into());
        state.timed("status", async { Err(error) }).await
    }
    let state = state();
    let router = with_layers(Router::new().route("/", get(failing)), state.clone());
    let answer = send(router, Request::builder().uri("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("secret"));
    assert!(answer.message().contains(&answer.request_id), "{}", answer.body);
    let outcome = r#"release_manager_flow_duration_seconds_count{operation="status",outcome="failed"} 1"#;
    assert!(state.metrics().encode().contains(outcome));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_503() {
    let slow = Router::new()
        .route("/", get(async || pending::<()>().await))
        .layer(from_fn_with_state(Duration::from_millis(10), limits::within));
    let answer =
        send(with_layers(slow, state()), Request::builder().uri("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.message().contains("in time"));
}

#[tokio::test]
async fn the_log_tells_each_write_with_its_request_id_and_no_secret() {
    let lines = Lines::of_this_process();
    let by_jane = RELEASE.replacen('{', r#"{"committerEmail":"j@x.io","#, 1);
    for (body, token, parts) in [
        (by_jane.as_str(), "for-hamctl", &["The server is starting", "svc", "dev", "m-1", "j@x.io"][..]),
        ("{}", "for-hamctl", &["service must be given"]),
        ("{}", "hunter2", &["The token is missing or not accepted"]),
    ] {
        let answer = send(app(state()), request(Method::POST, "/release", token, body.to_owned())).await;
        let found = lines.with(&answer.request_id);
        let [line] = &found[..] else { panic!("not one line: {found:?}") };
        for part in parts.iter().chain(&["/release", "requestId"]) {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains(token), "{line}");
    }
    let read = get_path("/status").await;
    assert_eq!(lines.with(&read.request_id), [""; 0], "reads are not worth a line");
}

/// What all tests of this process log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn of_this_process() -> Self {
        static LINES: LazyLock<Lines> = LazyLock::new(|| {
            let lines = Lines::default();
            let writer = lines.clone();
            tracing_subscriber::fmt().json().with_writer(move || writer.clone()).init();
            // Other tests may have logged just before, and found that nobody listens.
            tracing::callsite::rebuild_interest_cache();
            lines
        });
        LINES.clone()
    }

    fn with(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every method that a path takes; what it does not take is a 405.
async fn methods_of(path: &str) -> Vec<String> {
    let concrete = path.replace("{id}", ID).replace("{service}", "svc").replace("{artifact_id}", "m-1");
    let mut methods = Vec::new();
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = send(app(state()), request(method.clone(), &concrete, "for-hamctl", "")).await;
        assert_ne!(answer.status, 404, "{path}");
        if answer.status != 405 {
            methods.push(method.to_string().to_lowercase());
        }
    }
    methods
}

#[tokio::test]
async fn the_openapi_document_has_every_v1_route_and_no_other() {
    let mut routes = BTreeSet::new();
    for (path, _) in [v1::for_hamctl(), v1::for_daemon(), v1::with_signed_url(), v1::for_everyone()].concat()
    {
        routes.extend(methods_of(path).await.into_iter().map(|method| (path.to_owned(), method)));
    }
    let document: Value = serde_json::from_str(&get_path("/api/v1/openapi.json").await.body).unwrap();
    let documented = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), routes);
}

#[tokio::test]
async fn every_reference_of_the_openapi_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&get_path("/api/v1/openapi.json").await.body).unwrap();
    let mut to_visit = vec![&document];
    while let Some(value) = to_visit.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                to_visit.extend(fields.values());
            }
            Value::Array(values) => to_visit.extend(values),
            _ => {}
        }
    }
}
