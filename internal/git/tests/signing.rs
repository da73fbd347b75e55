//! Signed commits, verified by git itself with gpg and OpenSSH.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use release_core::Person;
use release_git::{
    Change, ConfigRepository, Credentials, Edit, Operation, Options, Outcome, Plan, RemoteOptions,
    SigningOptions, WriteError, Writer,
};
use release_testing::{
    keys::{Gpg, allowed_signers, ssh_key},
    origin::Origin,
};
use tokio::task::JoinSet;
use uuid::Uuid;

fn open(origin: &Origin, key: &str, gpg_key_paths: &[PathBuf]) -> (ConfigRepository, Writer) {
    let signing = SigningOptions { key: key.to_owned(), gpg_key_paths: gpg_key_paths.to_vec() };
    ConfigRepository::open(&Options {
        directory: origin.scratch().join("copy.git"),
        remote: RemoteOptions {
            url: origin.url(),
            credentials: Credentials::default(),
            timeout: Duration::from_mins(1),
        },
        branch: None,
        committer: Person::new("release-manager", "bot@example.com"),
        signing: Some(signing),
        poll_interval: Duration::from_millis(50),
        max_pushes_per_minute: 0,
        on_push: std::sync::Arc::new(|_| ()),
    })
    .unwrap()
}

fn change(path: &str) -> Change {
    let path = path.to_owned();
    Change {
        release_id: Some(Uuid::new_v4()),
        plan: Box::new(move |_| {
            let (path, contents) = (path.clone(), Bytes::from(path.clone()));
            Ok(Plan::Commit(Edit {
                message: format!("[dev/{path}] release master-1 by jane@example.com\n\nService: {path}\n"),
                author: Person::new("Jane", "jane@example.com"),
                operations: vec![Operation::PutFile { path, contents, executable: false }],
            }))
        }),
    }
}

/// Writes changes at the same time, verifies every one of their commits, and tells how long the first takes.
#[expect(clippy::print_stdout, reason = "how long it takes is told, and decides nothing")]
async fn write_and_verify(origin: &Origin, writer: &Writer, count: usize, verify: &[(&str, &str)]) {
    let before = origin.head();
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let writer = writer.clone();
        tasks.spawn(async move { writer.write(change(&format!("file-{number}"))).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert!(matches!(outcome.unwrap(), Ok(Outcome::Committed(_))));
    }
    println!("{count} signed commits took {:?}", started.elapsed());
    let commits = origin.git(&["rev-list", &format!("{before}..HEAD")]);
    assert_eq!(commits.lines().count(), count);
    for commit in commits.lines() {
        origin.verify_commit(commit, verify);
    }
    origin.assert_clean();
}

async fn signs_with_gpg(gpg: &Gpg, key: &str, files: &[PathBuf], count: usize) {
    let origin = Origin::new();
    let (repository, writer) = open(&origin, key, files);
    assert_eq!(*repository.problem().borrow(), None, "{key}");
    let (name, home) = gpg.environment();
    write_and_verify(&origin, &writer, count, &[(name, &home.to_string_lossy())]).await;
    writer.close();
}

#[tokio::test]
async fn commits_are_signed_with_every_kind_of_openpgp_key() {
    let gpg = Gpg::new();
    for algorithm in ["ed25519", "nistp256", "rsa2048"] {
        let user = format!("Bot {algorithm} <{algorithm}@example.com>");
        let key = gpg.generate(&user, algorithm, "sign", "never");
        let file = gpg.export(&key);
        signs_with_gpg(&gpg, &key, &[file], 2).await;
    }
}

#[tokio::test]
async fn a_batch_of_commits_is_signed_with_a_long_rsa_key() {
    let gpg = Gpg::new();
    let key = gpg.generate("Bot <bot@example.com>", "rsa4096", "sign", "never");
    signs_with_gpg(&gpg, &key, &[gpg.export(&key)], 20).await;
}

#[tokio::test]
async fn a_key_is_found_by_id_address_or_fingerprint_among_many_and_its_subkey_signs() {
    let gpg = Gpg::new();
    let other = gpg.generate("Other <other@example.com>", "ed25519", "sign", "never");
    let key = gpg.generate("Bot <bot@example.com>", "ed25519", "cert", "never");
    gpg.add_subkey(&key, "ed25519", "sign", "never");
    let files = [gpg.export(&other), gpg.export(&key)];
    for name in [&key[24..], &format!("0x{}", &key[24..]), "bot@example.com", "BOT", &key] {
        signs_with_gpg(&gpg, name, &files, 1).await;
    }
}

#[tokio::test]
async fn commits_are_signed_with_every_kind_of_ssh_key() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = ssh_key(&directory.path().join(kind), kind, "");
        let origin = Origin::new();
        origin.git(&["config", "gpg.ssh.allowedSignersFile", &allowed_signers(&key).to_string_lossy()]);
        let (_, writer) = open(&origin, &key.to_string_lossy(), &[]);
        write_and_verify(&origin, &writer, 2, &[]).await;
        writer.close();
    }
}

/// The key cannot sign for the given reason: nothing is written, and reading works.
async fn is_refused(key: &str, files: &[PathBuf], reason: &str) {
    let origin = Origin::new();
    let before = origin.head();
    let (repository, writer) = open(&origin, key, files);
    let problem = repository.problem().borrow().clone().unwrap_or_default();
    assert!(problem.contains(reason), "'{problem}' is not about '{reason}'");
    match writer.write(change("file")).await {
        Err(WriteError::Unavailable(problem)) => assert!(problem.contains(reason), "{problem}"),
        other => panic!("{reason}: {other:?}"),
    }
    assert_eq!(repository.snapshot().tip().unwrap().to_string(), before);
    assert_eq!(origin.head(), before);
    writer.close();
}

#[tokio::test]
async fn an_openpgp_key_that_cannot_sign_stops_writes_with_the_reason() {
    let gpg = Gpg::new();
    let expired = gpg.generate_expired("Expired <expired@example.com>");
    is_refused(&expired, &[gpg.export(&expired)], "has expired").await;
    let revoked = gpg.generate("Revoked <revoked@example.com>", "ed25519", "sign", "never");
    gpg.revoke(&revoked);
    is_refused(&revoked, &[gpg.export(&revoked)], "is revoked").await;
    let locked = gpg.generate_with_passphrase("Locked <locked@example.com>", "open");
    let file = gpg.export_to(&locked, &gpg.environment().1.join("locked.asc"), "open");
    is_refused(&locked, std::slice::from_ref(&file), "is protected by a passphrase").await;
    is_refused("nobody@example.com", &[file], "is in none of the files").await;
    let certifier = gpg.generate("Certifier <certifier@example.com>", "ed25519", "cert", "never");
    is_refused(&certifier, &[gpg.export(&certifier)], "may not or cannot sign").await;
    let public = gpg.export_public(&certifier);
    is_refused(&certifier, &[public], "holds no OpenPGP private key").await;
    is_refused(&certifier, &["/does/not/exist".into()], "cannot be read").await;
    is_refused(&certifier, &[], "is in none of the files").await;
}

#[tokio::test]
async fn an_ssh_key_that_cannot_sign_stops_writes_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    is_refused(&text(&path("missing")), &[], "cannot be read").await;
    let locked = ssh_key(&path("locked"), "ed25519", "open sesame");
    is_refused(&text(&locked), &[], "is protected by a passphrase").await;
    is_refused(&text(&path("locked.pub")), &[], "holds no ssh private key").await;
    fs::write(path("empty"), "").unwrap();
    is_refused(&text(&path("empty")), &[], "holds no ssh private key").await;
}

#[tokio::test]
async fn a_key_that_expires_stops_writes_until_a_better_one_is_there() {
    let gpg = Gpg::new();
    let origin = Origin::new();
    let short = gpg.generate("Bot <bot@example.com>", "ed25519", "sign", "seconds=15");
    let file = gpg.export(&short);
    let (repository, writer) = open(&origin, "bot@example.com", std::slice::from_ref(&file));
    assert_eq!(*repository.problem().borrow(), None);
    let mut problem = repository.problem();
    let expired = problem.wait_for(|problem| problem.as_ref().is_some_and(|it| it.contains("has expired")));
    tokio::time::timeout(Duration::from_mins(2), expired).await.expect("expiry is noticed").unwrap();
    assert!(matches!(writer.write(change("file")).await, Err(WriteError::Unavailable(_))));

    let long = gpg.generate("New Bot <new@example.com>", "ed25519", "sign", "never");
    let better = gpg.export_to(&long, &gpg.environment().1.join("better.asc"), "");
    fs::rename(better, &file).unwrap();
    // It has another address; the one that was asked for stays missing.
    let missing = problem.wait_for(|problem| problem.as_ref().is_some_and(|it| it.contains("is in none")));
    tokio::time::timeout(Duration::from_mins(2), missing).await.expect("the file is read again").unwrap();
    let right = gpg.generate("Third Bot <bot@example.com>", "ed25519", "sign", "never");
    let better = gpg.export_to(&right, &gpg.environment().1.join("better.asc"), "");
    fs::rename(better, &file).unwrap();
    tokio::time::timeout(Duration::from_mins(2), problem.wait_for(Option::is_none)).await.unwrap().unwrap();
    let (name, home) = gpg.environment();
    write_and_verify(&origin, &writer, 1, &[(name, &home.to_string_lossy())]).await;
    writer.close();
}
