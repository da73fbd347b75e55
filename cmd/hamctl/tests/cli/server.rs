//! A server with canned answers that remembers what it was asked.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use futures::stream;

const CUT: u16 = 0;

/// Runs until the test ends. What it has no answer for is a bare 404, as from an older server.
pub(crate) struct Server {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    answers: Vec<(String, VecDeque<(u16, String)>)>,
    seen: Vec<String>,
    tokens: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(script.clone());
        thread::spawn(move || serve(listener, router));
        Self { address, script }
    }

    /// Answers `GET /path?query`. Called again for the same request, it is the next
    /// answer; the last one is for ever.
    #[must_use]
    pub(crate) fn on(self, request: &str, status: u16, body: &str) -> Self {
        let mut script = self.script.lock().unwrap();
        let answer = (status, body.to_owned());
        match script.answers.iter_mut().find(|(known, _)| known == request) {
            Some((_, answers)) => answers.push_back(answer),
            None => script.answers.push((request.to_owned(), VecDeque::from([answer]))),
        }
        drop(script);
        self
    }

    /// The connection breaks in the middle of the answer.
    #[must_use]
    pub(crate) fn cuts(self, request: &str, beginning: &str) -> Self {
        self.on(request, CUT, beginning)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `GET /path?query`, with the body on the same line where there was one.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.script.lock().unwrap().seen.clone()
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.script.lock().unwrap().tokens.clone()
    }
}

fn serve(listener: TcpListener, router: Router) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
    });
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    let line = format!("{} {}", head.method, head.uri);
    let mut script = script.lock().unwrap();
    script.seen.push(format!("{line} {}", String::from_utf8_lossy(&body)).trim().to_owned());
    let token = head.headers.get("authorization").map_or("", |token| token.to_str().unwrap());
    script.tokens.push(token.to_owned());
    let (status, body) = script.next(&line);
    if status == CUT {
        let pieces = [Ok(body), Err(io::Error::other("cut"))];
        return Body::from_stream(stream::iter(pieces)).into_response();
    }
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, "application/json")], body).into_response()
}

impl Script {
    fn next(&mut self, line: &str) -> (u16, String) {
        let Some((_, answers)) = self.answers.iter_mut().find(|(known, _)| known == line) else {
            return (404, "404 page not found".to_owned());
        };
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap()
    }
}
