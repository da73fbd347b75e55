//! Many releases at once, while another program writes to the same remote.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures::future::join_all;
use release_testing::origin::{Origin, OtherClone};
use uuid::Uuid;

use crate::harness::{Answer, Artifact, Audience, Content, History, Order, Server, WorkingCopy};

const SERVICES: usize = 50;
const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];
/// What each service is released as, in all 500 releases: index of the environment and of the
/// artifact. Some are the same again, which is one commit or none.
const RELEASES: [(usize, usize); 10] =
    [(0, 0), (0, 1), (0, 2), (0, 2), (1, 0), (1, 1), (1, 1), (2, 0), (2, 1), (2, 2)];
/// Ten pushes a second, more than a busy company's other programs make.
const OTHER_WRITER_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_500_releases_is_one_commit_while_another_program_pushes() {
    let origin = Origin::new();
    let server = Server::start(&origin).await;
    let artifacts: Vec<Vec<Artifact>> = (0..SERVICES).map(artifacts).collect();
    join_all(artifacts.iter().flatten().map(|artifact| server.push(artifact))).await;

    let other = OtherWriter::start(&origin);
    let caller = server.caller(Audience::Hamctl);
    let orders = orders(&artifacts);
    let answers = join_all(orders.iter().map(|order| caller.order(order))).await;
    let nonsense = Order::new("service-1", "no-such-environment", artifacts[1][0].id());
    let refused = caller.order(&nonsense).await.expect("an answer");
    server.drained().await;
    let written = other.stop();

    assert_eq!(refused.status, 400, "{refused:?}");
    let history = History::of(&origin);
    let answers = answers.into_iter().map(|answer| answer.expect("an answer"));
    let released = check_answers(&server, &history, &orders, answers).await;
    assert_eq!(history.releases().keys().copied().collect::<BTreeSet<_>>(), released, "nothing else");
    assert!(written.iter().all(|title| history.titles().contains(title.as_str())), "the other's commits");
    assert!(history.is_interleaved(), "the other program was not in the way: {written:?}");
    check_files(&origin, &history, &artifacts, written.len());
    origin.assert_clean();
}

/// Every accepted release is one commit, or said that there was nothing to do. The ids of the commits.
async fn check_answers(
    server: &Server,
    history: &History,
    orders: &[Order],
    answers: impl Iterator<Item = Answer>,
) -> BTreeSet<Uuid> {
    let mut released = BTreeSet::new();
    for (order, answer) in orders.iter().zip(answers) {
        assert_eq!(answer.status, 200, "{order:?}: {answer:?}");
        let Some(id) = answer.release_id() else {
            assert!(answer.body["status"].as_str().unwrap().contains("already up-to-date"), "{answer:?}");
            continue;
        };
        let status = server.get(&format!("/api/v1/releases/{id}")).await.body;
        if status["state"] == "unchanged" {
            assert!(!history.releases().contains_key(&id), "{status}");
            continue;
        }
        assert_eq!(status["state"], "released", "{status}");
        assert_eq!(status["commit"], history.commit_of(id), "{order:?}");
        assert!(released.insert(id), "two answers name the same release");
    }
    released
}

/// Byte for byte and mode for mode.
fn check_files(origin: &Origin, history: &History, artifacts: &[Vec<Artifact>], written: usize) {
    let copy = WorkingCopy::of(origin);
    for of_service in artifacts {
        for environment in ENVIRONMENTS {
            let service = of_service[0].service();
            let current = history.current(service, environment).expect("it was released");
            let artifact = of_service.iter().find(|artifact| artifact.id() == current).expect("one of ours");
            let found = copy.files(&format!("{environment}/releases/{environment}/{service}"));
            // The contents are too long to be shown.
            assert!(found == artifact.directory(environment), "{environment}/{service}: {:?}", found.keys());
        }
    }
    assert_eq!(copy.files("notes").len(), written);
}

fn orders(artifacts: &[Vec<Artifact>]) -> Vec<Order> {
    // Round after round over all services, so that neighbours in a batch differ.
    let rounds = RELEASES.iter().flat_map(|release| artifacts.iter().map(move |of| (release, of)));
    rounds
        .map(|((environment, index), of_service)| {
            let artifact = &of_service[*index];
            Order::new(artifact.service(), ENVIRONMENTS[*environment], artifact.id())
        })
        .collect()
}

/// Three builds of a service. Each has files that the others lack.
fn artifacts(service: usize) -> Vec<Artifact> {
    let name = format!("service-{service}");
    (0..3).map(|build| artifact(&name, build, service.is_multiple_of(25))).collect()
}

fn artifact(service: &str, build: usize, is_large: bool) -> Artifact {
    let id = format!("master-{build}-{service}");
    let large = if is_large { 1 << 20 } else { 100 };
    // Bytes that do not shrink, the same in every run.
    let noise: Vec<u8> =
        (0..large).map(|index: u32| index.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let manifest = format!("kind: Deployment\nname: {service}\nbuild: {build}\n");
    let mut files = Vec::new();
    for environment in ENVIRONMENTS {
        let path = |path: &str| format!("{environment}/{path}");
        files.extend([
            (path("40-deployment.yaml"), false, manifest.as_bytes()),
            (path("scripts/deep/er/migrate.sh"), true, b"#!/bin/sh\nexit 0\n".as_slice()),
            (path("configuration/smørrebrød ☃.txt"), false, "blåbær\r\n".as_bytes()),
            (path("empty"), false, b""),
            (path("noise.bin"), false, &noise),
            (path(&format!("only-in-build-{build}/file")), build == 1, id.as_bytes()),
            // A file in one build, a directory in another.
            (path(if build == 2 { "changing/file" } else { "changing" }), build == 0, b"x"),
        ]);
    }
    let files: Vec<Content<'_>> = files
        .iter()
        .map(|(path, executable, bytes)| Content { path, executable: *executable, bytes })
        .collect();
    Artifact::of_files(service, &id, &files)
}

/// Somebody else, who pushes to the branch from a clone, each time on top of what is there.
struct OtherWriter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl OtherWriter {
    fn start(origin: &Origin) -> Self {
        let clone = OtherClone::of(origin);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut written = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let title = format!("note {}", written.len());
                let due = Instant::now() + OTHER_WRITER_INTERVAL;
                clone.push(&title, &[(&format!("notes/{}", written.len()), &title)]);
                written.push(title);
                // A rate, not a wait for something.
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            written
        });
        Self { stop, thread }
    }

    /// The titles of all commits that were pushed.
    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every commit came through in the end")
    }
}
