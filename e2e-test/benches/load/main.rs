//! `make bench`: what a release costs, as a ratio to a plain `git push` of one
//! prepared commit, measured in the same run on the same repository.

mod generate;
mod system;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::future::try_join_all;
use release_testing::artifact::ArtifactBuilder;
use serde_json::Value;

use generate::{ENVIRONMENTS, SIZES, Size, git, service};
use system::{Server, url};

/// Repetitions of what is measured one by one; the table has their medians.
const SAMPLES: usize = 21;
const READS: usize = 500;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Cargo adds flags of its own, such as --bench.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let work = work_directory()?;
    let mut columns = Vec::new();
    for size in
        SIZES.into_iter().filter(|size| wanted.is_empty() || wanted.iter().any(|name| name == size.name))
    {
        say(&format!("{}: {} services, {} commits", size.name, size.services, size.commits));
        columns.push((size, measure(&work, size).await?));
    }
    print_table(&columns);
    Ok(())
}

#[allow(clippy::print_stdout)] // a benchmark is its output
fn say(text: &str) {
    println!("{text}");
}

fn work_directory() -> anyhow::Result<PathBuf> {
    let program = system::program()?;
    let directory = program.parent().and_then(Path::parent).context("target directory")?.join("bench");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// All times in milliseconds.
struct Figures {
    push: f64,
    release: f64,
    conflict: f64,
    accept: f64,
    hundred: f64,
    five_hundred: f64,
    work: f64,
    contended_release: f64,
    contended_hundred: f64,
    contended_five_hundred: f64,
    later_push: f64,
    later_release: f64,
    describe: f64,
    status: f64,
    cold_start: f64,
    warm_start: f64,
    memory: f64,
}

async fn measure(work: &Path, size: Size) -> anyhow::Result<Figures> {
    let template = work.join(format!("{}.git", size.name));
    generate::repository(&template, size)?;
    let run = tempfile::tempdir_in(work)?;
    let origin = run.path().join("origin.git");
    git(run.path(), &["clone", "--quiet", "--bare", "--local", &template.to_string_lossy(), "origin.git"])?;
    let program = system::program()?;
    let data = run.path().join("data");
    store_artifacts(&data, size)?;

    let server = Server::start(&program, &data, &origin).await?;
    let cold_start = millis(server.started_in);
    server.stop()?;
    let server = Arc::new(Server::start(&program, &data, &origin).await?);
    let warm_start = millis(server.started_in);

    let mut load = Load { server: server.clone(), size, next: 0 };
    let mut other = Other::new(run.path(), &origin)?;
    let (mut pushes, mut accepts, mut releases) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        // To a branch of its own: the server's is not in conflict.
        pushes.push(other.push("yardstick")?);
        let (accept, release) = load.one().await?;
        accepts.push(accept);
        releases.push(release);
    }
    let mut conflicts = Vec::new();
    for _ in 0..SAMPLES {
        other.push("main")?;
        conflicts.push(load.one().await?.1);
    }
    let (describe, status) = read(&server).await?;
    let hundred = load.many(100).await?;
    let before = server.processor_time()?;
    let five_hundred = load.many(500).await?;
    let work = (server.processor_time()? - before) / 500.0;

    let writing = other.keep_pushing();
    let mut contended = Vec::new();
    for _ in 0..SAMPLES {
        contended.push(load.one().await?.1);
    }
    let contended_hundred = load.many(100).await?;
    let contended_five_hundred = load.many(500).await?;
    writing.stop()?;

    for _ in 0..A_YEAR / 500 {
        load.many(500).await?;
    }
    let (mut later_pushes, mut later) = (Vec::new(), Vec::new());
    let mut other = Other::new(&run.path().join("later"), &origin)?;
    for _ in 0..SAMPLES {
        later_pushes.push(other.push("yardstick")?);
        later.push(load.one().await?.1);
    }

    let memory = server.peak_memory()?;
    drop(load);
    Arc::into_inner(server).context("nobody else uses the server")?.stop()?;
    git(&origin, &["fsck", "--strict", "--no-dangling", "--no-progress"])?;
    Ok(Figures {
        push: median(pushes),
        release: median(releases),
        conflict: median(conflicts),
        accept: median(accepts),
        hundred,
        five_hundred,
        work,
        contended_release: median(contended),
        contended_hundred,
        contended_five_hundred,
        later_push: median(later_pushes),
        later_release: median(later),
        describe,
        status,
        cold_start,
        warm_start,
        memory,
    })
}

/// Some artifacts of each service that is released, put where the server keeps uploads.
fn store_artifacts(data: &Path, size: Size) -> anyhow::Result<()> {
    for number in 0..size.services.min(SERVICES_UNDER_LOAD) {
        let name = service(number);
        let directory = data.join("storage/artifacts").join(&name);
        fs::create_dir_all(&directory)?;
        for artifact in 0..ARTIFACTS {
            let id = artifact_id(artifact);
            let zip = ArtifactBuilder::new(&name, &id).environment("staging").zip();
            let mut file = fs::File::create(directory.join(id))?;
            file.write_all(&zip)?;
            // As the server does it: what is written later must not wait for this.
            file.sync_all()?;
        }
    }
    Ok(())
}

const SERVICES_UNDER_LOAD: usize = 200;
/// More than a place is released to in two goes, each in any order: no release finds itself already done.
const ARTIFACTS: usize = 12;
/// After so many releases it is measured again what one takes.
const A_YEAR: usize = 10_000;

fn artifact_id(number: usize) -> String {
    format!("master-{number:010x}-0123456789")
}

/// Releases, each to another service and environment than the one before.
struct Load {
    server: Arc<Server>,
    size: Size,
    next: usize,
}

impl Load {
    fn next_release(&mut self) -> (String, &'static str, String) {
        let services = self.size.services.min(SERVICES_UNDER_LOAD);
        let number = self.next;
        self.next += 1;
        let environment = ENVIRONMENTS[number / services % ENVIRONMENTS.len()];
        // Another artifact each time around, so that there always is something to do.
        let artifact = artifact_id(number / (services * ENVIRONMENTS.len()) % ARTIFACTS);
        (service(number % services), environment, artifact)
    }

    /// How long until it was accepted, and until it was on the remote.
    async fn one(&mut self) -> anyhow::Result<(f64, f64)> {
        let (service, environment, artifact) = self.next_release();
        let started = Instant::now();
        let id = self.server.release(&service, environment, &artifact).await?;
        let accepted = started.elapsed();
        self.server.released(&id, Duration::from_micros(500)).await?;
        Ok((millis(accepted), millis(started.elapsed())))
    }

    /// How long until all of them were on the remote.
    async fn many(&mut self, count: usize) -> anyhow::Result<f64> {
        let releases: Vec<_> = (0..count).map(|_| self.next_release()).collect();
        let server = &self.server;
        let started = Instant::now();
        let requests = releases
            .iter()
            .map(|(service, environment, artifact)| server.release(service, environment, artifact));
        for id in try_join_all(requests).await? {
            server.released(&id, Duration::from_millis(5)).await?;
        }
        Ok(millis(started.elapsed()))
    }
}

async fn read(server: &Server) -> anyhow::Result<(f64, f64)> {
    let (mut describes, mut statuses) = (Vec::new(), Vec::new());
    for _ in 0..READS {
        let started = Instant::now();
        server.get::<Value>("/describe/release/svc-0000/dev?count=10").await?;
        describes.push(millis(started.elapsed()));
        let started = Instant::now();
        server.get::<Value>("/status?service=svc-0000").await?;
        statuses.push(millis(started.elapsed()));
    }
    Ok((median(describes), median(statuses)))
}

/// Somebody else who pushes to the same remote, from a clone, with plain `git`.
struct Other {
    clone: PathBuf,
    count: usize,
}

impl Other {
    fn new(directory: &Path, origin: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)?;
        git(directory, &["clone", "--quiet", "--bare", "--no-local", &url(origin), "other.git"])?;
        Ok(Self { clone: directory.join("other.git"), count: 0 })
    }

    /// Pushes one commit that is prepared before; gives how long the push took.
    fn push(&mut self, branch: &str) -> anyhow::Result<f64> {
        loop {
            let commit = self.prepare()?;
            // Its own branch may be moved at will, that of the server only forward.
            let force = if branch == "main" { "" } else { "+" };
            let refspec = format!("{force}{commit}:refs/heads/{branch}");
            let started = Instant::now();
            let pushed = git(&self.clone, &["push", "--quiet", "origin", &refspec]);
            if pushed.is_ok() {
                return Ok(millis(started.elapsed()));
            }
        }
    }

    /// A commit of one changed file on top of the remote's branch.
    fn prepare(&mut self) -> anyhow::Result<String> {
        self.count += 1;
        let clone = self.clone.clone();
        git(&clone, &["fetch", "--quiet", "origin", "+refs/heads/main:refs/heads/main"])?;
        let contents = clone.join("contents");
        fs::write(&contents, format!("change {}\n", self.count))?;
        let blob = git(&clone, &["hash-object", "-w", "contents"])?;
        git(&clone, &["read-tree", "main"])?;
        git(
            &clone,
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("100644,{blob},prod/releases/prod/svc-0001/note.yaml"),
            ],
        )?;
        let tree = git(&clone, &["write-tree"])?;
        git(
            &clone,
            &[
                "-c",
                "user.name=Other",
                "-c",
                "user.email=o@example.com",
                "commit-tree",
                "-p",
                "main",
                "-m",
                "by others",
                &tree,
            ],
        )
    }

    /// Ten pushes a second until told to stop.
    fn keep_pushing(mut self) -> Writing {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let due = Instant::now() + Duration::from_millis(100);
                self.push("main")?;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        });
        Writing { stop, thread }
    }
}

struct Writing {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Writing {
    fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the other writer panicked"))?
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_table(columns: &[(Size, Figures)]) {
    let row = |label: &str, figure: &dyn Fn(&Figures) -> String| {
        let cells: Vec<String> =
            columns.iter().map(|(_, figures)| format!("{:>18}", figure(figures))).collect();
        say(&format!("{label:<48}{}", cells.concat()));
    };
    let ratio = |value: fn(&Figures) -> f64| {
        move |figures: &Figures| format!("{:.2} ({:.0} ms)", value(figures) / figures.push, value(figures))
    };
    let time = |value: fn(&Figures) -> f64| move |figures: &Figures| format!("{:.2} ms", value(figures));
    say("");
    let names: Vec<String> = columns.iter().map(|(size, _)| format!("{:>18}", size.name)).collect();
    say(&format!("{:<48}{}", "ratio to a plain git push (time)", names.concat()));
    row("a plain git push of one commit", &ratio(|f| f.push));
    row("one release, asked for -> on the remote", &ratio(|f| f.release));
    row("one release in conflict with another's push", &ratio(|f| f.conflict));
    row("100 concurrent releases, all on the remote", &ratio(|f| f.hundred));
    row("500 concurrent releases, all on the remote", &ratio(|f| f.five_hundred));
    row("one release, another writer pushing 10/s", &ratio(|f| f.contended_release));
    row("100 releases, another writer pushing 10/s", &ratio(|f| f.contended_hundred));
    row("500 releases, another writer pushing 10/s", &ratio(|f| f.contended_five_hundred));
    row("one release after 10,000, to a push then", &|f| {
        format!("{:.2} ({:.0} ms)", f.later_release / f.later_push, f.later_release)
    });
    say("");
    row("accepting a release, as the client sees it", &time(|f| f.accept));
    row("server's processor time per release (of 500)", &time(|f| f.work));
    row("describe the last 10 releases, ditto", &time(|f| f.describe));
    row("status, ditto", &time(|f| f.status));
    row("start, cold: clone and index", &time(|f| f.cold_start));
    row("start, warm", &time(|f| f.warm_start));
    row("peak memory of the server", &|figures| format!("{:.0} MiB", figures.memory));
}
