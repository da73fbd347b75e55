//! Artifacts that are built, uploaded and compared with what became of them.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use release_api::CreateArtifactRequest;
use release_core::{Spec, artifact::FILE_NAME};
use release_storage::{Checksum, Limits, pack};
use release_testing::artifact::ArtifactBuilder;
use tempfile::NamedTempFile;
use zip::ZipArchive;

use super::{Audience, Server};

/// Path → whether it is executable, and its contents.
pub(crate) type Files = BTreeMap<String, (bool, Vec<u8>)>;

/// One file of an artifact: its path in the zip, its mode and its contents.
pub(crate) struct Content<'a> {
    pub(crate) path: &'a str,
    pub(crate) executable: bool,
    pub(crate) bytes: &'a [u8],
}

#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    pub(crate) spec: Spec,
    pub(crate) zip: Vec<u8>,
}

impl Artifact {
    pub(crate) fn new(service: &str, id: &str) -> Self {
        Self::built_by(&ArtifactBuilder::new(service, id))
    }

    pub(crate) fn built_by(builder: &ArtifactBuilder) -> Self {
        Self { spec: builder.spec().clone(), zip: builder.zip() }
    }

    /// Of exactly these files and its spec.
    pub(crate) fn of_files(service: &str, id: &str, files: &[Content<'_>]) -> Self {
        let spec = ArtifactBuilder::new(service, id).spec().clone();
        let root = tempfile::tempdir().expect("a temporary directory");
        for file in files {
            let path = root.path().join(file.path);
            fs::create_dir_all(path.parent().expect("it is below the root")).expect("a directory");
            fs::write(&path, file.bytes).expect("a file");
            let mode = if file.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        fs::write(root.path().join(FILE_NAME), spec.to_json()).expect("a file");
        let zip = pack(root.path(), Limits::default()).expect("a small directory").zip.to_vec();
        Self { spec, zip }
    }

    pub(crate) fn id(&self) -> &str {
        &self.spec.id
    }

    pub(crate) fn service(&self) -> &str {
        &self.spec.service
    }

    pub(crate) fn md5(&self) -> String {
        Checksum::of(&self.zip).to_string()
    }

    pub(crate) fn create_request(&self) -> CreateArtifactRequest {
        CreateArtifactRequest { artifact: self.spec.clone(), md5: self.md5() }
    }

    /// What the service's directory has to hold after a release to the environment, read from
    /// the zip without any of our own code.
    pub(crate) fn directory(&self, environment: &str) -> Files {
        let mut zip = ZipArchive::new(Cursor::new(&self.zip)).expect("a zip");
        let prefix = format!("{environment}/");
        let mut files = Files::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).expect("an entry");
            let name = entry.name().expect("a name in UTF-8").into_owned();
            let path = name.strip_prefix(&prefix).or((name == FILE_NAME).then_some(FILE_NAME));
            let Some(path) = path.filter(|_| entry.is_file()) else { continue };
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its contents");
            files.insert(path.to_owned(), (executable, bytes));
        }
        files
    }
}

impl Server {
    /// As the `artifact` program does it.
    pub(crate) async fn push(&self, artifact: &Artifact) {
        let client = self.client(Audience::Artifact);
        let url = client.create_artifact(&artifact.create_request()).await.expect("an upload URL");
        let mut zip = NamedTempFile::new().expect("a temporary file");
        zip.write_all(&artifact.zip).expect("a temporary file");
        client.upload(&url.artifact_upload_url, zip.path(), &artifact.md5()).await.expect("an upload");
    }

    /// Pushes an artifact with nine manifests each for dev and prod.
    pub(crate) async fn push_new(&self, service: &str, id: &str) -> Artifact {
        let artifact = Artifact::new(service, id);
        self.push(&artifact).await;
        artifact
    }

    /// Where an artifact can be uploaded.
    pub(crate) async fn upload_url(&self, artifact: &Artifact) -> String {
        let client = self.client(Audience::Artifact);
        client.create_artifact(&artifact.create_request()).await.expect("an upload URL").artifact_upload_url
    }
}
