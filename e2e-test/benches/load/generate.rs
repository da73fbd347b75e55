//! Config repositories of realistic shape and any size, the same ones every time.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

pub(crate) const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) services: usize,
    pub(crate) commits: usize,
}

pub(crate) const SIZES: [Size; 3] = [
    Size { name: "small", services: 50, commits: 1_000 },
    Size { name: "medium", services: 500, commits: 20_000 },
    Size { name: "large", services: 2_000, commits: 100_000 },
];

pub(crate) fn service(number: usize) -> String {
    format!("svc-{number:04}")
}

/// Makes the bare repository at `path`, unless it is there from an earlier run.
pub(crate) fn repository(path: &Path, size: Size) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    git(Path::new("."), &["init", "--quiet", "--bare", "-b", "main", &unfinished.to_string_lossy()])?;
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet", "--depth=50"])
        .current_dir(&unfinished)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut stream = BufWriter::new(import.stdin.take().context("a pipe")?);
    write_history(&mut stream, size)?;
    stream.flush()?;
    drop(stream);
    ensure!(import.wait()?.success(), "git fast-import failed");
    git(&unfinished, &["gc", "--quiet"])?;
    fs::rename(unfinished, path)?;
    Ok(())
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(directory).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const EPOCH: usize = 1_600_000_000;

/// One commit with every service in every environment, then releases of three
/// changed files each. A few services release all the time, most of them rarely.
fn write_history(out: &mut impl Write, size: Size) -> io::Result<()> {
    commit(out, EPOCH, "every service")?;
    for environment in ENVIRONMENTS {
        for number in 0..size.services {
            for (path, contents) in files(environment, number, 0) {
                file(out, &path, &contents)?;
            }
        }
    }
    let mut random = Random(size.commits as u64);
    for round in 1..size.commits {
        let environment = ENVIRONMENTS[random.below(ENVIRONMENTS.len())];
        let rank = random.below(size.services).min(random.below(size.services));
        let name = service(rank);
        let artifact = artifact_id(rank, round);
        let message = format!(
            "[{environment}/{name}] release {artifact} by ada@example.com\n\nService: {name}\nEnvironment: {environment}\n\
             Artifact-ID: {artifact}\nArtifact-released-by: Ada <ada@example.com>\nArtifact-created-by: Bob <bob@example.com>\n\
             Release-intent: ReleaseBranch\nRelease-of-branch: master\n"
        );
        commit(out, EPOCH + round * 60, &message)?;
        for (path, contents) in files(environment, rank, round).into_iter().take(3) {
            file(out, &path, &contents)?;
        }
    }
    Ok(())
}

fn commit(out: &mut impl Write, time: usize, message: &str) -> io::Result<()> {
    write!(out, "commit refs/heads/main\ncommitter bot <bot@example.com> {time} +0000\n")?;
    write!(out, "data {}\n{message}\n", message.len())
}

fn file(out: &mut impl Write, path: &str, contents: &str) -> io::Result<()> {
    write!(out, "M 100644 inline {path}\ndata {}\n{contents}\n", contents.len())
}

fn artifact_id(number: usize, round: usize) -> String {
    format!("master-{number:010x}-{round:010x}")
}

/// Nine files; the first three differ between releases.
fn files(environment: &str, number: usize, round: usize) -> Vec<(String, String)> {
    let name = service(number);
    let artifact = artifact_id(number, round);
    let directory = format!("{environment}/releases/{environment}/{name}");
    let spec = format!(
        "{{\n  \"id\": \"{artifact}\",\n  \"service\": \"{name}\",\n  \"application\": {{\n    \"branch\": \"master\",\n    \
         \"authorName\": \"Bob\",\n    \"authorEmail\": \"bob@example.com\",\n    \"message\": \"change number {round}\"\n  }},\n  \
         \"ci\": {{\n    \"start\": \"2026-01-02T03:04:05Z\",\n    \"end\": \"2026-01-02T03:14:05Z\"\n  }},\n  \"shuttle\": {{\n    \"plan\": {{}}\n  }}\n}}\n"
    );
    let settings: Vec<String> =
        (0..20).map(|key| format!("  SETTING_{key}: \"{name}.{environment}:{key}\"\n")).collect();
    let settings = settings.concat();
    let mut files = vec![
        ("artifact.json".to_owned(), spec),
        (
            "01-configmap.yaml".to_owned(),
            manifest("ConfigMap", &name, &format!("data:\n  release: {artifact}\n{settings}")),
        ),
        (
            "40-deployment.yaml".to_owned(),
            manifest("Deployment", &name, &format!("spec:\n  image: {artifact}\n{settings}")),
        ),
    ];
    for (index, kind) in
        ["Secret", "ServiceAccount", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget"]
            .iter()
            .enumerate()
    {
        files.push((
            format!("{}-{}.yaml", 50 + index, kind.to_lowercase()),
            manifest(kind, &name, &format!("spec:\n{settings}")),
        ));
    }
    files.into_iter().map(|(file, contents)| (format!("{directory}/{file}"), contents)).collect()
}

fn manifest(kind: &str, name: &str, body: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\n{body}")
}

/// The same numbers in every run (a linear congruential generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}
