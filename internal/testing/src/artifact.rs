//! Artifacts as CI builds them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use release_core::{
    Spec,
    artifact::{Image, Stage, StageData, Test, TestResults},
};
use release_storage::{Limits, pack};

/// Builds one artifact. Without further calls it is a plausible build of `master`
/// by Jane Doe, with nine manifests each for `dev` and `prod`.
#[derive(Debug, Clone)]
pub struct ArtifactBuilder {
    spec: Spec,
    /// Path in the zip → contents.
    files: BTreeMap<String, String>,
}

impl ArtifactBuilder {
    pub fn new(service: &str, id: &str) -> Self {
        let builder = Self { spec: default_spec(service, id), files: BTreeMap::new() };
        builder.environment("dev").environment("prod")
    }

    #[must_use]
    pub fn branch(mut self, branch: &str) -> Self {
        branch.clone_into(&mut self.spec.application.branch);
        self
    }

    #[must_use]
    pub fn author(mut self, name: &str, email: &str) -> Self {
        name.clone_into(&mut self.spec.application.author_name);
        email.clone_into(&mut self.spec.application.author_email);
        self
    }

    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        message.clone_into(&mut self.spec.application.message);
        self
    }

    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.spec.namespace);
        self
    }

    #[must_use]
    pub fn squad(mut self, squad: &str) -> Self {
        squad.clone_into(&mut self.spec.squad);
        self
    }

    /// Who hosts the source repository.
    #[must_use]
    pub fn provider(mut self, provider: &str) -> Self {
        provider.clone_into(&mut self.spec.application.provider);
        self
    }

    /// When CI ended, in minutes after it usually does.
    #[must_use]
    pub fn later(mut self, minutes: i64) -> Self {
        self.spec.ci.end += TimeDelta::minutes(minutes);
        self
    }

    /// Adds the nine manifests for an environment.
    #[must_use]
    pub fn environment(mut self, environment: &str) -> Self {
        for (file, kind) in MANIFESTS {
            let manifest = manifest(kind, &self.spec, environment);
            self.files.insert(format!("{environment}/{file}"), manifest);
        }
        self
    }

    /// Takes out all files of an environment.
    #[must_use]
    pub fn without_environment(mut self, environment: &str) -> Self {
        self.files.retain(|path, _| path.split('/').next() != Some(environment));
        self
    }

    /// Adds or replaces one file; `path` is relative to the environment's directory.
    #[must_use]
    pub fn file(mut self, environment: &str, path: &str, contents: &str) -> Self {
        self.files.insert(format!("{environment}/{path}"), contents.to_owned());
        self
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The zip, as the `artifact` tool packs it.
    pub fn zip(&self) -> Vec<u8> {
        let root = tempfile::tempdir().expect("a temporary directory");
        let spec = (release_core::artifact::FILE_NAME, self.spec.to_json());
        let files = self.files.iter().map(|(path, contents)| (path.as_str(), contents.clone()));
        for (path, contents) in files.chain([spec]) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(root.path())).expect("a directory");
            std::fs::write(path, contents).expect("a file");
        }
        pack(root.path(), Limits::default()).expect("a small directory").zip.to_vec()
    }
}

/// File name and kind, in the order in which they are applied.
const MANIFESTS: [(&str, &str); 9] = [
    ("01-configmap.yaml", "ConfigMap"),
    ("10-secret.yaml", "Secret"),
    ("20-volume.yaml", "PersistentVolumeClaim"),
    ("30-serviceaccount.yaml", "ServiceAccount"),
    ("31-rolebinding.yaml", "RoleBinding"),
    ("40-deployment.yaml", "Deployment"),
    ("41-autoscaler.yaml", "HorizontalPodAutoscaler"),
    ("50-service.yaml", "Service"),
    ("60-ingress.yaml", "Ingress"),
];

fn manifest(kind: &str, spec: &Spec, environment: &str) -> String {
    format!(
        "kind: {kind}\nmetadata:\n  name: {service}\n  labels:\n    environment: {environment}\n    artifact: {id}\n",
        service = spec.service,
        id = spec.id,
    )
}

fn default_spec(service: &str, id: &str) -> Spec {
    let mut spec = Spec { id: id.to_owned(), service: service.to_owned(), ..Spec::default() };
    let application = &mut spec.application;
    "master".clone_into(&mut application.branch);
    "0017d995e32e3d1998395d971b969bcf682d2085".clone_into(&mut application.sha);
    "Jane Doe".clone_into(&mut application.author_name);
    "jane@example.com".clone_into(&mut application.author_email);
    "John Roe".clone_into(&mut application.committer_name);
    "john@example.com".clone_into(&mut application.committer_email);
    "Make it better".clone_into(&mut application.message);
    service.clone_into(&mut application.name);
    application.url = format!("https://git.example.com/{service}");
    "https://ci.example.com/job/84".clone_into(&mut spec.ci.job_url);
    spec.ci.start = at("2026-01-05T08:40:00+01:00");
    spec.ci.end = at("2026-01-05T08:42:22+01:00");
    let image =
        Image { image: format!("registry.example.com/{service}"), tag: id.to_owned(), ..Image::default() };
    let results = TestResults { passed: 42, failed: 0, skipped: 1 };
    let stages = [
        StageData::Build(image.clone()),
        StageData::Test(Test { results, ..Test::default() }),
        StageData::Push(image),
    ];
    spec.stages = stages.into_iter().filter_map(Stage::new).collect();
    spec
}

fn at(time: &str) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(time).expect("a time of this file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_artifact_makes_the_same_zip() {
        let builder = ArtifactBuilder::new("svc", "master-1-2").file("dev", "extra.txt", "x");
        assert_eq!(builder.zip(), builder.clone().zip());
        assert_ne!(builder.zip(), builder.without_environment("prod").zip());
    }
}
