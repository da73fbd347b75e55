//! Connections: accepted, bounded in time, and finished in order when the server stops.

use std::time::Duration;

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;

use super::strangers::Peer;

/// How long a client may take to send the headers of a request, or to send the next
/// request on a connection that it keeps open.
const HEADER_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest head of a request, in bytes; beyond it, the answer is a 431. The longest token is a
/// quarter of it.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Serves until `stop`, and then until the requests that are being answered are done.
///
/// `axum::serve` would do, but it lets clients take for ever to send their headers.
pub(crate) async fn serve(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    loop {
        let (stream, address) = tokio::select! {
            // Waits and tries again by itself when there are too many open files.
            accepted = Listener::accept(&mut listener) => accepted,
            () = stop.cancelled() => break,
        };
        let service = AddExtension::new(router.clone(), Peer(address.ip()));
        tokio::spawn(answer(stream, service, &connections));
    }
    drop(listener);
    connections.shutdown().await;
}

fn answer(
    stream: TcpStream,
    service: AddExtension<Router, Peer>,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Answers are small; without this they wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = connections.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Connection broke");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
    };

    use super::*;

    #[tokio::test]
    async fn a_request_in_flight_is_finished_and_no_new_one_is_taken() {
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            move || async move {
                arrived.notify_one();
                go_on.notified().await;
                "done"
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Router::new().route("/", get(handler)), stop.clone()));

        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        arrived.notified().await;
        stop.cancel();
        // An idle connection is closed at once; that also tells that the stop has arrived.
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
        assert!(!server.is_finished());

        go_on.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_head_may_be_long_but_not_endless() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "done" }));
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        for (length, expected) in [(40 << 10, "HTTP/1.1 200"), (MAX_HEADER_BYTES, "HTTP/1.1 431")] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let head = format!("GET / HTTP/1.1\r\nConnection: close\r\nX: {}", "x".repeat(length));
            client.write_all(head.as_bytes()).await.unwrap();
            if length < MAX_HEADER_BYTES {
                client.write_all(b"\r\n\r\n").await.unwrap();
            }
            let mut start = [0; 12];
            client.read_exact(&mut start).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&start), expected);
        }
    }
}
