//! Every field of every endpoint with what does not belong there: a 400 that names the field.

use release_testing::origin::Origin;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Answer, Audience, Order, Server, answer};

const MEGABYTE: usize = 1_000_000;
/// The longest address that HTTP libraries send.
const LONG_ADDRESS: usize = 60_000;

/// What a field takes.
#[derive(Clone, Copy)]
enum Takes {
    Name,
    OptionalName,
    Text,
    OptionalText,
    /// A text that nothing but a few values fit.
    Special,
}

use Takes::{Name, OptionalName, OptionalText, Special, Text};

impl Takes {
    fn is_required(self) -> bool {
        matches!(self, Name | Text | Special)
    }

    fn bad_texts(self) -> Vec<String> {
        let controls = ["a\u{0}b", "a\u{1b}[2Jb", "a\nb"];
        let paths = [
            "..",
            ".",
            "../x",
            "a/../../b",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".git",
            ".GIT",
            ".gitmodules",
            "git~1",
            "a b",
            "a\u{202e}b",
        ];
        let mut texts = vec!["x".repeat(LONG_ADDRESS), "ø".repeat(2_000)];
        texts.extend(controls.map(str::to_owned));
        if matches!(self, Name | OptionalName) {
            texts.extend(paths.map(str::to_owned));
        }
        if matches!(self, Special) {
            texts.extend(["nonsense", "☃", "-1", "0"].map(str::to_owned));
        }
        if self.is_required() {
            texts.push(String::new());
        }
        texts
    }

    /// `None` is a missing field.
    fn bad_values(self) -> Vec<Option<Value>> {
        let mut values: Vec<_> = self.bad_texts().into_iter().map(|text| Some(Value::from(text))).collect();
        values.push(Some(json!("x".repeat(MEGABYTE))));
        values.extend([json!(7), json!(true), json!(["x"]), json!({"x": "y"})].map(Some));
        if self.is_required() {
            values.extend([None, Some(Value::Null)]);
        }
        values
    }
}

/// The body with one field replaced or taken away; the field is a path as error messages name it.
fn with(body: &Value, field: &str, value: Option<Value>) -> Value {
    let mut body = body.clone();
    let (parents, name) = field.rsplit_once('.').unwrap_or(("", field));
    let parent =
        parents.split('.').filter(|part| !part.is_empty()).fold(&mut body, |body, part| &mut body[part]);
    match value {
        Some(value) => parent[name] = value,
        None => drop(parent.as_object_mut().expect("an object").remove(name)),
    }
    body
}

async fn started() -> (Origin, Server) {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    server.push_new("service-one", "master-1-2").await;
    server.accepted(&Order::new("service-one", "dev", "master-1-2")).await;
    server.drained().await;
    (origin, server)
}

async fn send(server: &Server, audience: Audience, path: &str, body: &Value) -> Answer {
    answer(server.caller(audience).request(Method::POST, path).json(body)).await.expect("an answer")
}

/// A refusal that says which field is meant, and is short.
fn assert_refused(found: &Answer, field: &str, input: &str) {
    let input: String = input.chars().take(200).collect();
    assert_eq!(found.status, 400, "{input}: {found:?}");
    assert_eq!(found.body["status"], 400, "{input}: {found:?}");
    assert!(found.message().contains(field), "{field} is not named: {input}: {found:?}");
    assert!(found.message().len() < 2_000, "{input}: {} bytes", found.message().len());
}

/// Nothing that a caller sends is the server's fault.
fn assert_calm(server: &Server) {
    for sign in ["\"level\":\"error\"", "panicked"] {
        assert!(!server.log().contains(sign), "the log has {sign}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_of_a_body_is_checked() {
    let (_origin, server) = started().await;
    let release = Order::new("service-one", "dev", "master-1-2").body();
    let promote = with(&release, "intent", Some(json!({"type": "Promote", "promote": {}})));
    let rollback = with(&release, "intent", Some(json!({"type": "Rollback", "rollback": {}})));
    let branch = with(&release, "intent", Some(json!({"type": "ReleaseBranch", "releaseBranch": {}})));
    let create = json!({"artifact": {"id": "a", "service": "s", "application": {}, "ci": {}}, "md5": "1B2M2Y8AsgTpgAmY7PhCfg=="});
    let (hamctl, artifact) = (Audience::Hamctl, Audience::Artifact);
    for (audience, path, body, field, takes) in [
        (hamctl, "/release", &release, "service", Name),
        (hamctl, "/release", &release, "environment", Name),
        (hamctl, "/release", &release, "artifactId", Name),
        (hamctl, "/release", &release, "committerName", OptionalText),
        (hamctl, "/release", &release, "committerEmail", OptionalText),
        (hamctl, "/release", &release, "intent", Special),
        (hamctl, "/release", &release, "intent.type", Special),
        (hamctl, "/release", &promote, "intent.promote.fromEnvironment", OptionalName),
        (hamctl, "/release", &rollback, "intent.rollback.previousArtifactId", OptionalName),
        (hamctl, "/release", &branch, "intent.releaseBranch.branch", OptionalText),
        (artifact, "/artifacts/create", &create, "artifact", Special),
        (artifact, "/artifacts/create", &create, "artifact.id", Name),
        (artifact, "/artifacts/create", &create, "artifact.service", Name),
        (artifact, "/artifacts/create", &create, "artifact.namespace", OptionalName),
        (artifact, "/artifacts/create", &create, "artifact.ci.start", Special),
        (artifact, "/artifacts/create", &create, "md5", Special),
    ] {
        for value in takes.bad_values() {
            if field == "artifact.ci.start" && !matches!(&value, Some(value) if !value.is_null()) {
                continue;
            }
            let input = format!("{path} with {field} = {value:?}");
            let found = send(&server, audience, path, &with(body, field, value)).await;
            let named = if field.starts_with("artifact.ci") { "artifact" } else { field };
            assert_refused(&found, named, &input);
        }
    }
    assert_calm(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_of_an_address_is_checked() {
    let (_origin, server) = started().await;
    let get = Method::GET;
    for (method, path, field, takes) in [
        (&get, "/status?service={}", "service", Name),
        (&get, "/status?service=service-one&namespace={}", "namespace", OptionalName),
        (&get, "/describe/release/{}/dev", "service", Name),
        (&get, "/describe/release/service-one/{}", "environment", Name),
        (&get, "/describe/release/service-one/dev?namespace={}", "namespace", OptionalName),
        (&get, "/describe/release/service-one/dev?count={}", "count", Special),
        (&get, "/describe/artifact/{}", "service", Name),
        (&get, "/describe/artifact/service-one?count={}", "count", Special),
        (&get, "/describe/artifact/service-one?branch={}", "branch", OptionalText),
        (&get, "/describe/latest-artifact/{}?branch=master", "service", Name),
        (&get, "/describe/latest-artifact/service-one?branch={}", "branch", Text),
        (&get, "/api/v1/releases/{}", "id", Special),
        (&Method::POST, "/api/v1/events/{}/retry", "id", Special),
        (&Method::DELETE, "/api/v1/events/{}", "id", Special),
    ] {
        for text in takes.bad_texts() {
            let (path, in_path) = (path.replace("{}", &encoded(&text)), !path.contains("={}"));
            // A URL without the last part of its path, or with dots in it, is another URL.
            if in_path && matches!(text.as_str(), "" | "." | "..") || field == "count" && text.is_empty() {
                continue;
            }
            let found = answer(server.caller(Audience::Hamctl).request(method.clone(), &path)).await;
            assert_refused(&found.expect("an answer"), field, &path);
        }
    }
    let repeated = server.get("/status?service=a&service=b&namespace=x&namespace=y").await;
    assert_refused(&repeated, "service must be given once; namespace must be given once", "twice");
    assert_refused(&server.get("/status").await, "service must be given", "nothing");
    assert_calm(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_or_header_of_a_megabyte_is_refused() {
    let (_origin, server) = started().await;
    let long = "x".repeat(MEGABYTE);
    for request in [
        format!("GET /status?service={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(("localhost", server.port())).await.expect("a connection");
        // The server need not read to the end of it.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut start = [0; 10];
        // Nor does it need to have its answer read by somebody who still sends.
        if stream.read_exact(&mut start).await.is_ok() {
            assert!(start.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&start));
        }
    }
    assert_eq!(server.get("/status?service=service-one").await.status, 200);
    assert_calm(&server);
}

fn encoded(text: &str) -> String {
    let mut url = Url::parse("http://localhost").expect("a URL");
    url.query_pairs_mut().append_pair("", text);
    // A form encodes a space as a plus, which it is not in a path.
    url.query().expect("a query").trim_start_matches('=').replace('+', "%20")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_names_all_bad_fields() {
    let (_origin, server) = started().await;
    let body = json!({
        "service": "../x", "environment": 7, "committerName": ["x"], "committerEmail": "a\tb",
        "intent": {"type": "Sell"},
    });
    let request = server.caller(Audience::Hamctl).request(Method::POST, "/release");
    let found =
        answer(request.header("idempotency-key", "k".repeat(256)).json(&body)).await.expect("an answer");
    for field in [
        "service",
        "environment",
        "artifactId",
        "committerName",
        "committerEmail",
        "intent.type",
        "idempotency-key",
    ] {
        assert_refused(&found, field, "all bad");
    }
    let found =
        send(&server, Audience::Artifact, "/artifacts/create", &json!({"artifact": {"service": ".git"}}))
            .await;
    for field in ["artifact.id", "artifact.service", "md5"] {
        assert_refused(&found, field, "all bad");
    }
    assert_calm(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_json_object_is_refused() {
    let (_origin, server) = started().await;
    for (audience, path) in [(Audience::Hamctl, "/release"), (Audience::Artifact, "/artifacts/create")] {
        for (body, status) in [
            (Vec::new(), 400),
            (b" ".to_vec(), 400),
            (b"{".to_vec(), 400),
            (b"[]".to_vec(), 400),
            (b"null".to_vec(), 400),
            (b"{\"service\": \xff}".to_vec(), 400),
            ("[".repeat(MEGABYTE).into_bytes(), 400),
            (vec![b' '; 2 * MEGABYTE], 413),
        ] {
            let start = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
            let request = server.caller(audience).request(Method::POST, path).body(body);
            let found = answer(request).await;
            let found = found.expect("an answer");
            assert_eq!(found.status, status, "{start}: {found:?}");
            assert!(!found.message().is_empty(), "{start}");
        }
    }
    assert_calm(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_told_with_what_is_close_to_it() {
    let (_origin, server) = started().await;
    let caller = server.caller(Audience::Hamctl);
    for (order, hint) in [
        (Order::new("service-onne", "dev", "master-1-2"), "did you mean 'service-one'?"),
        (Order::new("service-one", "dve", "master-1-2"), "there is 'dev' or 'prod'"),
        (Order::new("service-one", "dev", "master-1-3"), "did you mean 'master-1-2'?"),
        (Order::new("Ærøskøbing", "dev", "master-1-2"), "'service-one'"),
    ] {
        assert_refused(&caller.order(&order).await.expect("an answer"), hint, &format!("{order:?}"));
    }
    for (path, hint) in [
        ("/status?service=service-onne", "did you mean 'service-one'?"),
        ("/describe/release/service-onne/dev", "did you mean 'service-one'?"),
        ("/describe/release/service-one/dve", "'dev'"),
        ("/describe/release/service-one/dev?namespace=other", "namespace 'dev'"),
        ("/describe/artifact/service-onne", "did you mean 'service-one'?"),
        ("/describe/latest-artifact/service-onne?branch=master", "did you mean 'service-one'?"),
    ] {
        let found = server.get(path).await;
        assert_eq!(found.status, 404, "{path}: {found:?}");
        assert!(found.message().contains(hint), "{path}: {found:?}");
    }
    assert_calm(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_audience_needs_its_own_token() {
    let (_origin, server) = started().await;
    let hamctl = [
        (Method::POST, "/release"),
        (Method::GET, "/status?service=service-one"),
        (Method::GET, "/describe/release/service-one/dev"),
        (Method::GET, "/describe/artifact/service-one"),
        (Method::GET, "/describe/latest-artifact/service-one?branch=master"),
        (Method::GET, "/api/v1/releases/00000000-0000-0000-0000-000000000000"),
        (Method::GET, "/api/v1/environments"),
        (Method::GET, "/api/v1/services"),
        (Method::GET, "/api/v1/events"),
        (Method::DELETE, "/api/v1/events/00000000-0000-0000-0000-000000000000"),
        (Method::POST, "/api/v1/events/00000000-0000-0000-0000-000000000000/retry"),
    ];
    let hamctl = hamctl.map(|(method, path)| (Audience::Hamctl, method, path));
    let artifact = [(Audience::Artifact, Method::POST, "/artifacts/create")];
    for (owner, method, path) in hamctl.into_iter().chain(artifact) {
        let own = server.token(owner);
        let others =
            Audience::ALL.into_iter().filter(|other| *other != owner).map(|other| server.token(other));
        let broken = [String::new(), own[1..].to_owned(), format!("{own}x"), own.to_uppercase()];
        let schemes = broken.into_iter().chain(others).map(|token| format!("Bearer {token}"));
        for header in schemes.chain([own.clone(), format!("Basic {own}")]) {
            let request = reqwest::Client::builder().no_proxy().build().expect("a client");
            let request = request.request(method.clone(), server.url(path)).header("authorization", &header);
            let found = answer(request).await.expect("an answer");
            assert_eq!(found.status, 401, "{method} {path} with '{header}': {found:?}");
            assert!(!found.message().contains(&own));
        }
        let found = answer(server.caller(owner).request(method.clone(), path)).await.expect("an answer");
        assert_ne!(found.status, 401, "{method} {path}: {found:?}");
    }
    let log = server.log();
    assert!(
        Audience::ALL.iter().all(|audience| !log.contains(&server.token(*audience))),
        "a token is in the log"
    );
    assert_calm(&server);
}
