//! A config repository behind a real OpenSSH server that has bad days.

use std::time::{Duration, Instant};

use release_testing::{origin::Origin, sshd::Sshd};

use crate::{
    crashes::{check, load::Load},
    harness::{LONG, Order, SHORT, Server, Setup, until},
    outages::until_ready_says,
};

const CLIENTS: usize = 4;

struct Site {
    origin: Origin,
    sshd: Sshd,
}

impl Site {
    fn new() -> Self {
        Self { origin: Origin::new(), sshd: Sshd::start() }
    }

    async fn server(&self) -> Server {
        let url = self.sshd.url(&self.origin);
        let key = format!("--ssh-private-key={}", self.sshd.key().display());
        let hosts = format!("--ssh-known-hosts={}", self.sshd.known_hosts().display());
        let flags = [key.as_str(), &hosts, "--git-poll-interval=500ms", "--git-timeout=10s"];
        Server::start_with(&self.origin, &Setup { flags: &flags, url: Some(&url), ..Setup::default() }).await
    }
}

/// Waits until so many more releases are commits, and tells how long that took.
#[expect(clippy::print_stdout, reason = "how long it takes is told, and decides nothing")]
async fn go_on(origin: &Origin, what: &str) {
    let commits = || origin.titles().len();
    let (before, started) = (commits(), Instant::now());
    until("releases go on", LONG, async || (commits() >= before + CLIENTS).then_some(())).await;
    println!("{what}: {} ms to the next {CLIENTS} releases", started.elapsed().as_millis());
}

async fn readers_work(server: &Server) {
    let started = Instant::now();
    assert_eq!(server.get("/status?service=service-1").await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "it does not wait for the remote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_release_is_lost_or_doubled_whatever_happens_to_the_ssh_server() {
    let mut site = Site::new();
    let server = site.server().await;
    let load = Load::start(&server, CLIENTS).await;
    go_on(&site.origin, "a good day").await;

    for _ in 0..5 {
        site.sshd.cut_connections();
        go_on(&site.origin, "connections cut").await;
    }
    site.sshd.stop();
    site.sshd.restart();
    go_on(&site.origin, "server restarted").await;

    site.sshd.stop();
    until_ready_says(&server, "nobody listens there").await;
    readers_work(&server).await;
    site.sshd.restart();
    go_on(&site.origin, "server stopped").await;

    site.sshd.stop();
    site.sshd.change_host_key();
    site.sshd.restart();
    until_ready_says(&server, "another ssh host key than the one that is known").await;
    readers_work(&server).await;
    site.sshd.remember_host_key();
    go_on(&site.origin, "host key changed").await;

    let told = load.stop().await;
    server.drained().await;
    check(&server, &site.origin, &told, 0).await;
    until("the server is ready", SHORT, async || server.ready().await.filter(|ready| ready.ready)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_connection_ends_with_the_server_and_survives_no_kill_for_long() {
    let site = Site::new();
    let mut server = site.server().await;
    server.push_new("svc", "master-1-2").await;
    server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    server.drained().await;
    let socket = server.data_dir().join("config-repository.ssh/connection");
    assert!(socket.exists(), "the connection is kept open");

    // What a killed server leaves behind is not used by the next one.
    server.kill();
    let before = site.sshd.connections();
    server.restart().await;
    assert!(site.sshd.connections() > before);
    server.push_new("svc", "master-1-3").await;
    server.accepted(&Order::new("svc", "dev", "master-1-3")).await;
    server.drained().await;
    assert_eq!(server.terminate().await.code(), Some(0));
    assert!(!socket.exists());
    site.origin.assert_clean();
}
