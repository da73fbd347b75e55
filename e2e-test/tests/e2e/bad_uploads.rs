//! Uploads that are refused, and leave nothing behind.

use std::{collections::BTreeSet, path::Path};

use release_core::artifact::FILE_NAME;
use release_storage::Checksum;
use release_testing::origin::Origin;
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::harness::{Answer, Artifact, Audience, Order, SHORT, Server, Setup, answer, until};

const FLAGS: [&str; 3] =
    ["--artifact-max-bytes=100000", "--artifact-max-unpacked-bytes=1000000", "--artifact-max-files=50"];

pub(crate) async fn put(server: &Server, url: &str, md5: &str, body: Vec<u8>) -> Answer {
    let path = url.strip_prefix(&server.url("")).expect("an upload URL of this server");
    let request = server.caller(Audience::Daemon).request(Method::PUT, path);
    answer(request.header("content-md5", md5).body(body)).await.expect("an answer")
}

/// All files and directories of the artifact storage.
pub(crate) fn stored(server: &Server) -> BTreeSet<String> {
    fn walk(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            }
            found.insert(path.display().to_string());
        }
    }
    let mut found = BTreeSet::new();
    walk(&server.data_dir().join("storage"), &mut found);
    found
}

/// Sends the beginning of an upload and no more of it; the upload is there, incomplete, when this returns.
pub(crate) async fn begin_upload(server: &Server, artifact: &Artifact) -> TcpStream {
    let url = Url::parse(&server.upload_url(artifact).await).expect("a URL");
    let before = stored(server);
    let head = format!(
        "PUT {}?{} HTTP/1.1\r\nHost: x\r\nContent-MD5: {}\r\nContent-Length: {}\r\n\r\n",
        url.path(),
        url.query().expect("a signature"),
        artifact.md5(),
        artifact.zip.len()
    );
    let mut stream = TcpStream::connect(("localhost", server.port())).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    stream.write_all(&artifact.zip[..artifact.zip.len() / 2]).await.expect("a part is sent");
    until("the upload has begun", SHORT, async || (stored(server) != before).then_some(())).await;
    stream
}

async fn started() -> (Origin, Server) {
    let origin = Origin::new();
    let server = Server::start_with(&origin, &Setup { flags: &FLAGS, ..Setup::default() }).await;
    server.push_new("svc", "master-0-0").await;
    (origin, server)
}

/// Nothing is stored but what was before, and the artifact can neither be listed nor released.
async fn assert_nothing_left(server: &Server, before: &BTreeSet<String>, artifact: &Artifact) {
    until("nothing is left of the upload", SHORT, async || (stored(server) == *before).then_some(())).await;
    let order = Order::new(artifact.service(), "dev", artifact.id());
    let refused = server.caller(Audience::Hamctl).order(&order).await.expect("an answer");
    assert_eq!(refused.status, 400, "{refused:?}");
    let log = server.log();
    assert!(!log.contains("\"level\":\"error\"") && !log.contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_cut_off_leaves_nothing_behind() {
    let (_origin, server) = started().await;
    let before = stored(&server);
    let artifact = Artifact::new("svc", "master-1-2");
    let stream = begin_upload(&server, &artifact).await;
    drop(stream);
    assert_nothing_left(&server, &before, &artifact).await;
    server.push(&artifact).await;
    server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    server.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_what_was_announced_is_refused() {
    let (_origin, server) = started().await;
    let before = stored(&server);
    let artifact = Artifact::new("svc", "master-1-2");
    let (zip, md5) = (artifact.zip.clone(), artifact.md5());
    let url = server.upload_url(&artifact).await;
    let changed = |from: &str, to: &str| {
        assert!(url.contains(from), "{url}");
        url.replace(from, to)
    };
    let other_md5 = Checksum::of(b"other").to_string();
    let mut other_bytes = zip.clone();
    other_bytes.push(0);
    let cases = [
        ("other bytes", url.clone(), md5.as_str(), other_bytes, 400, "checksum"),
        ("half of it", url.clone(), &md5, zip[..zip.len() / 2].to_vec(), 400, "checksum"),
        ("another checksum in the header", url.clone(), &other_md5, zip.clone(), 400, "Content-MD5"),
        ("no checksum in the header", url.clone(), "", zip.clone(), 400, "Content-MD5"),
        ("too big", url.clone(), &md5, vec![0; 100_001], 413, "larger than 100000 bytes"),
        ("another artifact", changed("master-1-2", "master-9-9"), &md5, zip.clone(), 403, "upload URL"),
        ("another service", changed("/svc/", "/web/"), &md5, zip.clone(), 403, "upload URL"),
        ("a later end", changed("expires=", "expires=9"), &md5, zip.clone(), 403, "upload URL"),
        ("an end in the past", changed("expires=", "expires=1&x="), &md5, zip.clone(), 403, "upload URL"),
        ("another signature", changed("signature=", "signature=A"), &md5, zip.clone(), 403, "upload URL"),
        ("no signature", changed("signature=", "s="), &md5, zip.clone(), 403, "upload URL"),
        ("no query", changed("?", "?x="), &md5, zip.clone(), 403, "upload URL"),
        ("a path out of the store", changed("/svc/", "/..%2F..%2Fsvc/"), &md5, zip, 400, "service"),
    ];
    for (what, url, md5, body, status, message) in cases {
        let found = put(&server, &url, md5, body).await;
        assert_eq!(found.status, status, "{what}: {found:?}");
        assert!(found.message().contains(message), "{what}: {found:?}");
        assert_nothing_left(&server, &before, &artifact).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_zip_is_refused() {
    let (_origin, server) = started().await;
    let before = stored(&server);
    let good = Artifact::new("svc", "master-1-2");
    let spec = good.spec.to_json();
    let spec = (FILE_NAME, spec.as_bytes());
    let many: Vec<String> = (0..60).map(|number| format!("dev/{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), b"".as_slice())).chain([spec]).collect();
    let other = Artifact::new("svc", "master-9-9").spec.to_json();
    let truncated = good.zip[..good.zip.len() - 30].to_vec();
    for (what, zip, message) in [
        ("no zip", b"hello".to_vec(), "no zip archive"),
        ("nothing", Vec::new(), "no zip archive"),
        ("truncated", truncated, "cut off"),
        ("an absolute path", zip_of(&[spec, ("/etc/passwd", b"x")]), "absolute path"),
        ("a way out", zip_of(&[spec, ("dev/../../x", b"x")]), "'.' or '..'"),
        ("a backslash", zip_of(&[spec, ("dev\\x", b"x")]), "'\\'"),
        ("a git directory", zip_of(&[spec, ("dev/.git/config", b"x")]), "'.git'"),
        ("a control character", zip_of(&[spec, ("dev/a\u{1b}b", b"x")]), "control"),
        ("the same name twice", twice(&zip_of(&[spec, ("dev/one", b"1"), ("dev/two", b"2")])), "twice"),
        ("a file that is a directory", zip_of(&[spec, ("dev/a", b"1"), ("dev/a/b", b"2")]), "at once"),
        ("a symbolic link", symlink(spec), "symbolic link"),
        ("encrypted", encrypted(&zip_of(&[spec, ("dev/x", b"x")])), "encrypted"),
        ("too many files", zip_of(&many), "more than 50 files"),
        ("a bomb", zip_of(&[spec, ("dev/x", &vec![0; 2_000_000])]), "more than 1000000 bytes"),
        ("no spec", zip_of(&[("dev/x", b"x")]), "no artifact.json"),
        ("a broken spec", zip_of(&[(FILE_NAME, b"{"), ("dev/x", b"x")]), "artifact.json"),
        ("another artifact's spec", zip_of(&[(FILE_NAME, other.as_bytes())]), "names artifact 'master-9-9'"),
    ] {
        let artifact = Artifact { zip, ..good.clone() };
        let url = server.upload_url(&artifact).await;
        let found = put(&server, &url, &artifact.md5(), artifact.zip.clone()).await;
        assert_eq!(found.status, 400, "{what}: {found:?}");
        assert_eq!(found.body["status"], Value::from(400), "{what}");
        assert!(found.message().contains(message), "{what}: {found:?}");
        assert_nothing_left(&server, &before, &artifact).await;
    }
}

fn writer() -> ZipWriter<std::io::Cursor<Vec<u8>>> {
    ZipWriter::new(std::io::Cursor::default())
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = writer();
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::DEFAULT).expect("an entry");
        zip.write_all(bytes).expect("its contents");
    }
    zip.finish().expect("a zip").into_inner()
}

fn symlink((name, spec): (&str, &[u8])) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = writer();
    zip.start_file(name, SimpleFileOptions::DEFAULT).expect("an entry");
    zip.write_all(spec).expect("its contents");
    zip.add_symlink("dev/link", "/etc/passwd", SimpleFileOptions::DEFAULT).expect("a link");
    zip.finish().expect("a zip").into_inner()
}

/// No library writes a name twice, so one is renamed to the other.
fn twice(zip: &[u8]) -> Vec<u8> {
    let mut zip = zip.to_vec();
    let (from, to) = (b"dev/two", b"dev/one");
    for start in 0..zip.len() - from.len() {
        if zip[start..].starts_with(from) {
            zip[start..start + to.len()].copy_from_slice(to);
        }
    }
    zip
}

/// Says of every entry that it is encrypted: bit 0 of the flags in both of its headers.
fn encrypted(zip: &[u8]) -> Vec<u8> {
    let mut zip = zip.to_vec();
    for start in 0..zip.len() - 4 {
        match &zip[start..start + 4] {
            b"PK\x03\x04" => zip[start + 6] |= 1,
            b"PK\x01\x02" => zip[start + 8] |= 1,
            _ => {}
        }
    }
    zip
}
