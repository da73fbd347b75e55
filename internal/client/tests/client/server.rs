//! A server that answers as told, one answer after the other, the last one for
//! ever, and remembers what it was asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Text {
        status: u16,
        body: String,
        location: Option<String>,
    },
    /// The connection breaks in the middle of the answer.
    Cut,
    /// No answer, ever.
    Hang,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Text { status, body: body.to_owned(), location: None }
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::Text { status: 301, body: String::new(), location: Some(location.to_owned()) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /path?query`
    pub(crate) line: String,
    pub(crate) body: String,
    headers: HeaderMap,
}

impl Seen {
    /// Empty when it was not sent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    script: Arc<Script>,
}

struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

impl Server {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Mutex::new(answers.into_iter().collect());
        let script = Arc::new(Script { answers, seen: Mutex::new(Vec::new()) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, script }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    script.seen.lock().unwrap().push(Seen {
        line: format!("{} {}", head.method, head.uri),
        body: String::from_utf8(body.to_vec()).unwrap(),
        headers: head.headers,
    });
    let answer = script.next();
    match answer {
        Answer::Text { status, body, location } => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(location) = location {
                response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
            }
            response
        }
        Answer::Cut => {
            let broken = std::io::Error::other("cut");
            Response::new(Body::from_stream(futures::stream::iter([Ok("{"), Err(broken)])))
        }
        Answer::Hang => std::future::pending().await,
    }
}

impl Script {
    fn next(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap()
    }
}
