use std::{convert::Infallible, io::Write, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use futures::{Stream, StreamExt, stream};
use release_core::{Spec, artifact::FILE_NAME};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{UploadError, UploadQuery};

struct Fixture {
    store: DirectoryStore,
    directory: TempDir,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn spec(id: &str, branch: &str) -> Spec {
    let mut spec = Spec { id: id.into(), service: "svc".into(), ..Spec::default() };
    spec.application.branch = branch.into();
    spec
}

fn zip_of(spec: &Spec, contents: &str) -> Bytes {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, contents) in
        [(FILE_NAME, &*spec.to_json()), ("dev/a.yaml", contents), ("prod/a.yaml", contents)]
    {
        zip.start_file(path, SimpleFileOptions::DEFAULT).unwrap();
        zip.write_all(contents.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner().into()
}

fn zip(id: &str) -> Bytes {
    zip_of(&spec(id, "master"), "first")
}

/// The body in small pieces, as a network delivers it.
fn body(zip: &Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let chunks: Vec<_> = zip.chunks(50).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

fn query(url: &Url) -> UploadQuery {
    let pairs: serde_json::Map<_, _> =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect();
    serde_json::from_value(pairs.into()).unwrap()
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path(), base_url(), limits).unwrap();
        Self { store, directory }
    }

    async fn query(&self, id: &str, md5: Checksum) -> UploadQuery {
        query(&self.store.upload_url(&name("svc"), &name(id), md5).await.unwrap())
    }

    async fn upload(&self, id: &str, zip: &Bytes) -> Result<(), UploadError> {
        let md5 = Checksum::of(zip);
        let query = self.query(id, md5).await;
        let header = md5.to_string();
        self.store.receive(&name("svc"), &name(id), &query, Some(&header), body(zip), Utc::now()).await
    }

    /// Everything below `artifacts/` and `uploads/`.
    fn stored(&self) -> Vec<String> {
        let mut found = Vec::new();
        for top in ["artifacts", "uploads"] {
            collect(&self.directory.path().join(top), &mut found);
        }
        found.iter().map(|path| path.strip_prefix(&self.directory).unwrap().display().to_string()).collect()
    }
}

fn base_url() -> Url {
    Url::parse("http://localhost:8080").unwrap()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        }
        found.push(path);
    }
}

#[tokio::test]
async fn an_upload_can_be_read_back() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("master-1-2", &zip("master-1-2")).await.unwrap();
    assert_eq!(fixture.stored(), ["artifacts/svc/master-1-2", "artifacts/svc"]);

    let (service, id) = (name("svc"), name("master-1-2"));
    let summary = fixture.store.summary(&service, &id).await.unwrap();
    assert_eq!(summary.spec, spec("master-1-2", "master"));
    assert_eq!(summary.environments, [name("dev"), name("prod")]);
    let files = fixture.store.files(&service, &id, &name("dev")).await.unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a.yaml", FILE_NAME]);
    assert_eq!(fixture.store.services().await.unwrap(), std::slice::from_ref(&service));
    assert_eq!(fixture.store.ids(&service).await.unwrap(), [id]);
    fixture.store.check().await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("id", &zip("id")).await.unwrap();
    let error = fixture.store.summary(&name("svc"), &name("other")).await.unwrap_err();
    assert_eq!(error.to_string(), "service 'svc' has no artifact 'other'");
    assert!(matches!(error, StorageError::NotFound { .. }));
    let error = fixture.store.files(&name("svc"), &name("id"), &name("qa")).await.unwrap_err();
    assert_eq!(error.to_string(), "artifact 'id' has no environment 'qa'; it has dev, prod");
    assert!(fixture.store.newest(&name("other"), None, 5).await.unwrap().is_empty());
    assert!(fixture.store.ids(&name("other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_second_upload_replaces_the_first() {
    let fixture = Fixture::new(Limits::default());
    let (service, id) = (name("svc"), name("id"));
    for branch in ["one", "two"] {
        fixture.upload("id", &zip_of(&spec("id", branch), branch)).await.unwrap();
        let summary = fixture.store.summary(&service, &id).await.unwrap();
        assert_eq!(summary.spec.application.branch, branch);
        let files = fixture.store.files(&service, &id, &name("dev")).await.unwrap();
        assert_eq!(files[0].contents, branch);
    }
    assert_eq!(fixture.stored(), ["artifacts/svc/id", "artifacts/svc"]);
}

#[tokio::test]
async fn a_replaced_file_is_noticed_without_an_upload() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("id", &zip("id")).await.unwrap();
    let (service, id) = (name("svc"), name("id"));
    let first = fixture.store.summary(&service, &id).await.unwrap();
    let again = fixture.store.summary(&service, &id).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "the second answer comes from the cache");
    fs::write(fixture.directory.path().join("artifacts/svc/id"), zip_of(&spec("id", "other"), "")).unwrap();
    let changed = fixture.store.summary(&service, &id).await.unwrap();
    assert_eq!(changed.spec.application.branch, "other");
}

#[tokio::test]
async fn the_newest_come_first_and_the_specs_own_branch_decides() {
    let fixture = Fixture::new(Limits::default());
    let uploads = [
        ("master-1-1", "master"),
        ("feature_x-1-1", "feature/x"),
        ("master-2-1", "master"),
        ("master-hotfix-1-1", "master-hotfix"),
        ("broken", "master"),
    ];
    for (id, branch) in uploads {
        fixture.upload(id, &zip_of(&spec(id, branch), "")).await.unwrap();
    }
    fs::write(fixture.directory.path().join("artifacts/svc/broken"), "no zip").unwrap();
    // Older than the others although it was uploaded later.
    fixture.upload("master-0-1", &zip("master-0-1")).await.unwrap();
    let old = fs::File::open(fixture.directory.path().join("artifacts/svc/master-0-1")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();

    let newest = async |branch, count| -> Vec<String> {
        let newest = fixture.store.newest(&name("svc"), branch, count).await.unwrap();
        newest.iter().map(|summary| summary.spec.id.clone()).collect()
    };
    let all = ["master-hotfix-1-1", "master-2-1", "feature_x-1-1", "master-1-1", "master-0-1"];
    assert_eq!(newest(None, 10).await, all);
    assert_eq!(newest(None, 2).await, all[..2]);
    assert_eq!(newest(Some("master"), 2).await, ["master-2-1", "master-1-1"]);
    assert_eq!(newest(Some("feature/x"), 5).await, ["feature_x-1-1"]);
    assert!(newest(Some("none"), 5).await.is_empty());
}

#[tokio::test]
async fn a_stored_zip_that_broke_is_told_from_one_that_is_missing() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("id", &zip("id")).await.unwrap();
    fs::write(fixture.directory.path().join("artifacts/svc/id"), "no zip").unwrap();
    let error = fixture.store.files(&name("svc"), &name("id"), &name("dev")).await.unwrap_err();
    assert!(matches!(error, StorageError::BadArtifact { .. }));
    let expected = "artifact 'id' of service 'svc' cannot be used: it is no zip archive, or it was cut off";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_reported() {
    let fixture = Fixture::new(Limits::default());
    fs::remove_dir(fixture.directory.path().join("uploads")).unwrap();
    let error = fixture.store.check().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }));
    assert_eq!(error.to_string(), "the artifact storage cannot write to its directory");
    let error = fixture.upload("id", &zip("id")).await.unwrap_err();
    assert!(matches!(error, UploadError::Unavailable(_)));
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let fixture = Fixture::new(Limits { max_zip_bytes: 1000, ..Limits::default() });
    let good = zip("id");
    let md5 = Checksum::of(&good);
    let header = md5.to_string();
    let query = fixture.query("id", md5).await;
    let (service, id) = (name("svc"), name("id"));
    let receive = async |header: Option<&str>, body, now| {
        fixture.store.receive(&service, &id, &query, header, body, now).await.unwrap_err()
    };
    let cut_off = || stream::iter([Ok(good.slice(..100)), Err(io::Error::other("reset"))]).boxed();
    let whole = |zip: &Bytes| stream::iter([Ok(zip.clone())]).boxed();
    let late = Utc::now() + TimeDelta::minutes(16);
    let other = Checksum::of(b"x").to_string();

    let error = receive(Some(&header), whole(&good), late).await;
    assert!(matches!(error, UploadError::Expired));
    for wrong in [None, Some("x"), Some(&*other)] {
        let error = receive(wrong, whole(&good), Utc::now()).await;
        assert!(matches!(error, UploadError::Md5Header { .. }), "{wrong:?}");
    }
    let error = receive(Some(&header), whole(&good.slice(1..)), Utc::now()).await;
    assert!(matches!(error, UploadError::Md5Mismatch { .. }));
    let error = receive(Some(&header), cut_off(), Utc::now()).await;
    assert!(matches!(error, UploadError::CutOff(_)));
    let error = receive(Some(&header), whole(&vec![0; 1001].into()), Utc::now()).await;
    assert!(matches!(error, UploadError::TooLarge { limit: 1000 }));
    let unsigned = UploadQuery::default();
    let result =
        fixture.store.receive(&service, &id, &unsigned, Some(&header), body(&good), Utc::now()).await;
    assert!(matches!(result, Err(UploadError::BadSignature)));

    assert_eq!(fixture.stored(), [""; 0]);
}

#[tokio::test]
async fn a_bad_archive_does_not_replace_a_good_one() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("id", &zip("id")).await.unwrap();
    let other_service = Spec { service: "other".into(), ..spec("id", "master") };
    let cases = [
        (Bytes::from("no zip"), "the artifact is refused: it is no zip archive, or it was cut off"),
        (
            zip("other-id"),
            "the artifact is refused: its artifact.json names artifact 'other-id' of service 'svc'",
        ),
        (
            zip_of(&other_service, ""),
            "the artifact is refused: its artifact.json names artifact 'id' of service 'other'",
        ),
    ];
    for (zip, expected) in cases {
        assert_eq!(fixture.upload("id", &zip).await.unwrap_err().to_string(), expected);
    }
    assert_eq!(fixture.stored(), ["artifacts/svc/id", "artifacts/svc"]);
    assert!(fixture.store.summary(&name("svc"), &name("id")).await.is_ok());
}

#[tokio::test]
async fn an_upload_that_is_abandoned_leaves_nothing_behind() {
    let fixture = Fixture::new(Limits::default());
    let good = zip("id");
    let md5 = Checksum::of(&good);
    let query = fixture.query("id", md5).await;
    let (started, first_chunk_taken) = tokio::sync::oneshot::channel();
    let body = stream::once(async { Ok::<_, Infallible>(good) })
        .chain(stream::once(async {
            started.send(()).unwrap();
            std::future::pending().await
        }))
        .boxed();
    let store = fixture.store.clone();
    let upload = tokio::spawn(async move {
        let header = md5.to_string();
        store.receive(&name("svc"), &name("id"), &query, Some(&header), body, Utc::now()).await
    });
    first_chunk_taken.await.unwrap();
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert_eq!(fixture.stored(), [""; 0]);
}

#[tokio::test]
async fn opening_again_keeps_artifacts_and_urls_and_removes_leftovers() {
    let fixture = Fixture::new(Limits::default());
    let good = zip("id");
    let md5 = Checksum::of(&good);
    let query = fixture.query("id", md5).await;
    fs::write(fixture.directory.path().join("uploads/.tmp1"), "half of a zip").unwrap();

    let store = DirectoryStore::open(fixture.directory.path(), base_url(), Limits::default()).unwrap();
    assert_eq!(fixture.stored(), [""; 0]);
    let header = md5.to_string();
    store.receive(&name("svc"), &name("id"), &query, Some(&header), body(&good), Utc::now()).await.unwrap();
    assert_eq!(fixture.stored(), ["artifacts/svc/id", "artifacts/svc"]);
}

#[tokio::test]
async fn readers_see_the_old_or_the_new_artifact_while_it_is_replaced() {
    let fixture = Fixture::new(Limits::default());
    let zips = ["old", "new"].map(|text| zip_of(&spec("id", "master"), &text.repeat(10_000)));
    fixture.upload("id", &zips[0]).await.unwrap();
    let writer = async {
        for round in 0..20 {
            fixture.upload("id", &zips[round % 2]).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..100 {
            let files = fixture.store.files(&name("svc"), &name("id"), &name("dev")).await.unwrap();
            assert_eq!(files[0].contents.len(), 30_000);
        }
    };
    futures::join!(writer, reader);
}

#[tokio::test]
async fn only_a_few_zips_are_open_at_once() {
    let fixture = Fixture::new(Limits::default());
    fixture.upload("id", &zip("id")).await.unwrap();
    let (service, id) = (name("svc"), name("id"));
    let turns = fixture.store.inner.turns.clone();
    let all = turns.try_acquire_many(u32::try_from(MAX_OPEN_ZIPS).unwrap()).unwrap();
    let mut waiting = fixture.store.summary(&service, &id);
    assert!(futures::poll!(&mut waiting).is_pending());
    fixture.store.check().await.unwrap();
    assert!(futures::poll!(&mut waiting).is_pending(), "it waits although the store is idle");
    drop(all);
    waiting.await.unwrap();
}

#[test]
fn the_store_can_be_a_trait_object() {
    fn accepts(_: Option<Arc<dyn Storage>>) {}
    accepts(None);
}
