//! A network between two programs that can be cut.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

/// What happens to connections and to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Works,
    /// Connections stay, and nothing arrives.
    Stalls,
    /// Connections are closed as soon as they are made.
    Refuses,
}

/// Forwards connections to a port of this machine. Runs as long as the tokio runtime does.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    network: watch::Sender<Network>,
    cut: Notify,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { network: watch::Sender::new(Network::Works), cut: Notify::new() });
        tokio::spawn(accept(listener, port, shared.clone()));
        Self { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// Resets all connections.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }
}

async fn accept(listener: TcpListener, port: u16, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if *shared.network.borrow() != Network::Refuses {
            tokio::spawn(forward(stream, port, shared.clone()));
        }
    }
}

async fn forward(near: TcpStream, port: u16, shared: Arc<Shared>) {
    let cut = shared.cut.notified();
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    for stream in [&near, &far] {
        // Closing then sends a reset instead of an orderly end.
        let _ = stream.set_zero_linger();
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = cut => {}
        () = pump(near_in, far_out, shared.network.subscribe()) => {}
        () = pump(far_in, near_out, shared.network.subscribe()) => {}
    }
}

/// Until one side ends.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if network.wait_for(|network| *network != Network::Stalls).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
