//! Slack, Grafana, GitHub, and a release server for daemons, as real HTTP servers. They hold every request against
//! the documented API, remember what they accepted, and misbehave as told.

mod github;
mod grafana;
mod release_server;
mod slack;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
    serve::Listener,
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub use github::Github;
pub use grafana::Grafana;
pub use release_server::{ReleaseServer, Report};
pub use slack::Slack;

/// The token that all fakes expect.
pub const TOKEN: &str = "hunter2";

/// As much as a release server reads.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
const FLOOD_BYTES: usize = 4 * 1024 * 1024;

/// What a fake does with requests until it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Works,
    /// Answers every request with this status and accepts none.
    Fails(u16),
    /// Accepts no request, and says after how many seconds to try again.
    LimitsRate(u32),
    /// Never answers and accepts nothing.
    Hangs,
    /// Resets every connection before it has read anything.
    Resets,
    /// Answers with more than anybody wants to read.
    Floods,
    /// Accepts, but the connection breaks in the middle of the answer.
    LosesAnswers,
}

/// A request, as far as the fakes look at it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    pub body: Value,
    /// The header of this name.
    pub idempotency_key: Option<String>,
}

/// What an API makes of a request that is well formed. The error says what is not
/// as documented.
trait Api: Send + 'static {
    fn handle(&mut self, request: &Seen) -> Result<(u16, Value), String>;
}

/// A server of one API.
struct Server<A> {
    address: SocketAddr,
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    behaviour: watch::Sender<Behaviour>,
    state: Mutex<Log<A>>,
}

struct Log<A> {
    api: A,
    /// How many requests arrived, accepted or not.
    attempts: usize,
    violations: Vec<String>,
}

impl<A: Api> Server<A> {
    /// Runs as long as the tokio runtime does.
    async fn start(api: A) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let state = Mutex::new(Log { api, attempts: 0, violations: Vec::new() });
        let shared = Arc::new(Shared { behaviour: watch::Sender::new(Behaviour::Works), state });
        let router = Router::new().fallback(answer::<A>).with_state(shared.clone());
        let listener = Rough { listener, shared: shared.clone() };
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    fn attempts(&self) -> usize {
        self.shared.state.lock().expect("no panic while held").attempts
    }

    /// What the API remembers. Panics when a request was not as documented.
    fn read<T>(&self, read: impl FnOnce(&A) -> T) -> T {
        let log = self.shared.state.lock().expect("no panic while held");
        assert!(log.violations.is_empty(), "not as documented: {:#?}", log.violations);
        read(&log.api)
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// Accepts connections, or resets them.
struct Rough<A> {
    listener: TcpListener,
    shared: Arc<Shared<A>>,
}

impl<A: Api> Listener for Rough<A> {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if *self.shared.behaviour.borrow() != Behaviour::Resets {
                return (stream, address);
            }
            self.shared.state.lock().expect("no panic while held").attempts += 1;
            // Closing then sends a reset instead of an orderly end.
            stream.set_zero_linger().expect("a fresh connection");
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn answer<A: Api>(State(shared): State<Arc<Shared<A>>>, request: Request) -> Response {
    let mut behaviour = shared.behaviour.subscribe();
    let now = *behaviour.borrow_and_update();
    shared.state.lock().expect("no panic while held").attempts += 1;
    match now {
        Behaviour::Works => accept(&shared, request, |body| Body::from(body.to_string())).await,
        Behaviour::LosesAnswers => accept(&shared, request, |_| cut()).await,
        Behaviour::Floods => response(200, Body::from(vec![b' '; FLOOD_BYTES])),
        Behaviour::LimitsRate(seconds) => {
            let mut response = response(429, Body::from(r#"{"ok":false,"error":"ratelimited"}"#));
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Behaviour::Fails(status) => response(status, Body::from(r#"{"message":"told to fail"}"#)),
        Behaviour::Hangs | Behaviour::Resets => {
            // Until it is told otherwise, so that no test waits for a time-out.
            let _ = behaviour.changed().await;
            response(503, Body::empty())
        }
    }
}

async fn accept<A: Api>(
    shared: &Shared<A>,
    request: Request,
    answer: impl FnOnce(&Value) -> Body,
) -> Response {
    let seen = read(request).await;
    let mut guard = shared.state.lock().expect("no panic while held");
    let log = &mut *guard;
    match seen.and_then(|seen| log.api.handle(&seen)) {
        Ok((status, body)) => response(status, answer(&body)),
        Err(violation) => {
            log.violations.push(violation);
            response(400, Body::empty())
        }
    }
}

/// What holds for all of the APIs: a bearer token, and JSON in UTF-8 or no body.
async fn read(request: Request) -> Result<Seen, String> {
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.to_string(), head.uri.to_string());
    let value = |name: header::HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    if value(header::AUTHORIZATION) != format!("Bearer {TOKEN}") {
        return Err(format!("{method} {path}: no bearer token"));
    }
    if value(header::USER_AGENT).is_empty() {
        return Err(format!("{method} {path}: no user agent"));
    }
    let idempotency_key = Some(value("idempotency-key".parse().expect("a name")).to_owned());
    let idempotency_key = idempotency_key.filter(|key| !key.is_empty());
    let body = body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| error.to_string())?;
    if body.is_empty() {
        return Ok(Seen { method, path, body: Value::Null, idempotency_key });
    }
    if !value(header::CONTENT_TYPE).starts_with("application/json") {
        return Err(format!("{method} {path}: the body is not declared as JSON"));
    }
    let body = serde_json::from_slice(&body).map_err(|error| format!("{method} {path}: {error}"))?;
    Ok(Seen { method, path, body, idempotency_key })
}

/// Each request has a connection of its own, so that a reset meets all of them.
fn response(status: u16, body: Body) -> Response {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(body)
        .expect("a response")
}

/// A body that breaks after its first byte.
fn cut() -> Body {
    Body::from_stream(futures::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]))
}

/// The text of a field.
fn text(body: &Value, field: &str) -> Result<String, String> {
    let text = body[field].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("'{field}' must be a text in {body}"))
}

fn only_fields(body: &Value, allowed: &[&str]) -> Result<(), String> {
    let fields = body.as_object().ok_or_else(|| format!("no JSON object: {body}"))?;
    match fields.keys().find(|field| !allowed.contains(&field.as_str())) {
        Some(field) => Err(format!("'{field}' is not documented, in {body}")),
        None => Ok(()),
    }
}
