//! With RabbitMQ as the broker: chaos, two servers, strange messages, and another program's view.

mod peer;
mod poison;
mod rollouts;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use release_testing::{
    origin::Origin,
    proxy::{Network, Proxy},
    rabbitmq::RabbitMq,
};
use reqwest::Method;
use tokio::{task::JoinHandle, time::sleep};
use uuid::Uuid;

use crate::{
    crashes::{
        check,
        load::{Client, Load, Told},
    },
    harness::{Audience, History, LONG, Order, Server, Setup, answer, until},
    walkthrough::retry_and_drop,
};

const CLIENTS: usize = 4;
const TIMES: usize = 2;
/// How long each trouble lasts that lasts.
const OUTAGE: Duration = Duration::from_secs(2);

/// The flags of a server that uses this RabbitMQ.
fn flags(port: u16, virtual_host: &str) -> Vec<String> {
    vec![
        "--broker-type=amqp".to_owned(),
        format!("--amqp-port={port}"),
        format!("--amqp-virtualhost={virtual_host}"),
        "--amqp-reconnection-timeouts=1s".to_owned(),
        "--git-poll-interval=1s".to_owned(),
    ]
}

async fn server(origin: &Origin, flags: &[String], artifacts_of: Option<&Server>) -> Server {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Server::start_with(origin, &Setup { flags: &flags, artifacts_of, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_retries_and_drops_what_failed_for_good() {
    let origin = Origin::new();
    let rabbitmq = RabbitMq::shared().await;
    let flags = flags(rabbitmq.port(), &rabbitmq.virtual_host().await);
    retry_and_drop(&origin, &server(&origin, &flags, None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_rabbitmq_no_accepted_release_is_lost_or_made_twice() {
    let origin = Origin::new();
    let mut rabbitmq = RabbitMq::start().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let proxy = Proxy::to(rabbitmq.port()).await;
    let mut server = server(&origin, &flags(proxy.port(), &virtual_host), None).await;
    let mut probe = Client::new(&server, "probe").await;
    let load = Load::start(&server, CLIENTS).await;
    let readers = Readers::start(&server);

    for _ in 0..TIMES {
        proxy.cut();
        recovery("its connection is cut", &server, &mut probe).await;
        proxy.set(Network::Refuses);
        proxy.cut();
        sleep(OUTAGE).await;
        proxy.set(Network::Works);
        recovery("it is unreachable for 2 s", &server, &mut probe).await;
        proxy.set(Network::Stalls);
        sleep(OUTAGE).await;
        proxy.set(Network::Works);
        recovery("its network stalls for 2 s", &server, &mut probe).await;
        rabbitmq.set_disk_alarm(true).await;
        sleep(OUTAGE).await;
        rabbitmq.set_disk_alarm(false).await;
        recovery("its disk alarm is on for 2 s", &server, &mut probe).await;
        rabbitmq.close_connections().await;
        recovery("an operator closes its connections", &server, &mut probe).await;
    }
    rabbitmq.restart().await;
    recovery("it was killed and is up again", &server, &mut probe).await;
    let questions = readers.stop().await;
    for _ in 0..TIMES {
        server.kill();
        server.restart().await;
        recovery("the server was killed and is ready again", &server, &mut probe).await;
    }

    let mut told = load.stop().await;
    told.push(probe.told);
    let accepted: usize = told.iter().map(|told| told.accepted.len()).sum();
    all_done(&server, &told).await;
    check(&server, &origin, &told, 0).await;
    figure(&format!("{accepted} releases accepted, none lost, none twice; {questions} questions answered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_the_other_one_takes_over_when_the_active_one_is_killed() {
    let origin = Origin::new();
    let rabbitmq = RabbitMq::start().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let flags = flags(rabbitmq.port(), &virtual_host);
    let mut first = server(&origin, &flags, None).await;
    let mut second = server(&origin, &flags, Some(&first)).await;
    // The first one executes, and both accept.
    let mut probe = Client::new(&second, "probe").await;
    let loads = [Load::start(&second, CLIENTS).await];
    recovery("the passive one accepts", &second, &mut probe).await;
    for _ in 0..TIMES {
        first.kill();
        recovery("the active server is killed", &second, &mut probe).await;
        first.restart().await;
        second.kill();
        second.restart().await;
        recovery("the roles are changed back", &second, &mut probe).await;
    }
    let mut told = vec![probe.told];
    for load in loads {
        told.extend(load.stop().await);
    }
    all_done(&second, &told).await;
    all_done(&first, &told).await;
    check(&second, &origin, &told, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_releases_at_once_are_few_pushes() {
    const RELEASES: usize = 500;
    let origin = Origin::new();
    let rabbitmq = RabbitMq::start().await;
    let virtual_host = rabbitmq.virtual_host().await;
    let server = server(&origin, &flags(rabbitmq.port(), &virtual_host), None).await;
    let services: Vec<_> = (0..RELEASES).map(|number| format!("service-{number}")).collect();
    for of_services in services.chunks(20) {
        let pushes = of_services.iter().map(|service| server.push_new(service, "master-1-a"));
        futures::future::join_all(pushes).await;
    }
    let caller = server.caller(Audience::Hamctl);
    let orders: Vec<_> = services.iter().map(|service| Order::new(service, "dev", "master-1-a")).collect();
    let started = Instant::now();
    let answers = futures::future::join_all(orders.iter().map(|order| caller.order(order))).await;
    let accepted =
        answers.into_iter().map(|answer| answer.expect("an answer").release_id().expect("accepted"));
    let told = Told { accepted: accepted.collect(), ..Told::default() };
    all_done(&server, &[told]).await;
    let took = started.elapsed();
    assert_eq!(History::of(&origin).releases().len(), RELEASES);
    let pushes = metric(&server, "release_manager_git_batch_size_count").await;
    figure(&format!("{RELEASES} releases at once: {pushes} pushes, {:.1} s", took.as_secs_f64()));
    assert!(pushes <= 50.0, "{pushes} pushes");
}

async fn metric(server: &Server, name: &str) -> f64 {
    let request = server.caller(Audience::Hamctl).request(Method::GET, "/metrics");
    let text = request.send().await.expect("an answer").text().await.expect("a text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the metric is there").parse().expect("a number")
}

/// Waits until the releases of now are accepted and written again; says how long that takes.
async fn recovery(what: &str, server: &Server, probe: &mut Client) {
    let started = Instant::now();
    let order = probe.next();
    probe.insist(&order).await;
    let release = *probe.told.accepted.last().expect("it was accepted");
    until_released(server, release).await;
    figure(&format!("{what}: {:.1} s until a new release is written", started.elapsed().as_secs_f64()));
}

async fn all_done(server: &Server, told: &[Told]) {
    for release in told.iter().flat_map(|told| told.accepted.iter()) {
        until_released(server, *release).await;
    }
}

async fn until_released(server: &Server, release: Uuid) {
    let caller = server.caller(Audience::Hamctl);
    until(&format!("{release} is released"), LONG, async || {
        let request = caller.request(Method::GET, &format!("/api/v1/releases/{release}"));
        (answer(request).await.ok()?.body["state"] == "released").then_some(())
    })
    .await;
}

#[expect(clippy::print_stderr, reason = "docs/reliability.md has these figures")]
fn figure(text: &str) {
    eprintln!("RabbitMQ: {text}");
}

/// Asks all the time; every question has to be answered.
struct Readers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    reading: JoinHandle<()>,
}

impl Readers {
    fn start(server: &Server) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = server.caller(Audience::Hamctl);
        let (stopped, count) = (stop.clone(), answered.clone());
        let reading = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                for path in ["/status?service=probe", "/describe/artifact/probe", "/api/v1/services"] {
                    let answer = answer(caller.request(Method::GET, path)).await.expect("an answer");
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        Self { stop, answered, reading }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.await.expect("every question is answered");
        self.answered.load(Ordering::Relaxed)
    }
}
