//! A proxy in front of a server, for what goes wrong between two machines.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All is well.
    None,
    /// Every request gets this status and, as S3 sends it, this error code.
    Answer(u16, &'static str),
    /// Every piece of an answer takes so long.
    Slow(Duration),
    /// Answers end after so many bytes.
    Cut(u64),
    /// Connections are closed before anything is said.
    Away,
}

/// Dropping it closes all connections.
pub struct FaultProxy {
    port: u16,
    fault: watch::Sender<Fault>,
    listening: JoinHandle<()>,
}

impl FaultProxy {
    /// In front of a port of this machine.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let own_port = listener.local_addr().expect("its address").port();
        let fault = watch::Sender::new(Fault::None);
        let listening = tokio::spawn(listen(listener, port, fault.subscribe()));
        Self { port: own_port, fault, listening }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on; connections that are open break off.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, port: u16, fault: watch::Receiver<Fault>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut fault = fault.clone();
        tokio::spawn(async move {
            let now = *fault.borrow_and_update();
            tokio::select! {
                _ = relay(client, port, now) => {}
                _ = fault.changed() => {}
            }
        });
    }
}

async fn relay(mut client: TcpStream, port: u16, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Away => return Ok(()),
        Fault::Answer(status, code) => return answer(client, status, code).await,
        _ => {}
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    if fault == Fault::None {
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let (mut from_client, to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let answers = async {
        match fault {
            Fault::Slow(delay) => dribble(from_server, to_client, delay).await,
            Fault::Cut(bytes) => {
                let mut to_client = to_client;
                copy(&mut from_server.take(bytes), &mut to_client).await.map(drop)
            }
            _ => Ok(()),
        }
    };
    tokio::select! {
        ended = answers => ended,
        Err(error) = copy(&mut from_client, &mut to_server) => Err(error),
    }
}

async fn dribble(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) -> io::Result<()> {
    let mut piece = vec![0; 4096];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        tokio::time::sleep(delay).await;
        to.write_all(&piece[..length]).await?;
    }
}

async fn answer(mut client: TcpStream, status: u16, code: &str) -> io::Result<()> {
    let mut request = vec![0; 16 << 10];
    let _ = client.read(&mut request).await?;
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} On Purpose\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes()).await?;
    client.shutdown().await
}
