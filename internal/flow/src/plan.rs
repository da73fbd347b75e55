//! What a release changes in the config repository. Pure: looks at files, says what to commit.

use std::sync::Arc;

use release_core::{
    Person, Spec, commit_message::ReleaseMessage, event::Release, gate::Candidate, policy::GlobalRestrictions,
};
use release_git::{Edit, File, GitError, Operation, Plan, PlanError, Tree};
use release_storage::File as ArtifactFile;
use serde::Deserialize;

use crate::{gate, layout};

/// A release whose files are at hand, ready to be planned on any snapshot.
pub(crate) struct PreparedRelease {
    release: Release,
    /// Of the artifact; the event may come from somebody else.
    branch: String,
    restrictions: Arc<GlobalRestrictions>,
    message: String,
    author: Person,
    files: Vec<File>,
    kustomization: Option<File>,
    spec: Spec,
}

/// Why a release cannot be executed, ever.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(
        "the artifact has more than one Flux Kustomization ({0}); there is one place for one, so put them into one file or keep one"
    )]
    Kustomizations(String),
    #[error(transparent)]
    Spec(#[from] release_core::artifact::SpecError),
}

impl PreparedRelease {
    pub(crate) fn new(
        release: Release,
        files: Vec<ArtifactFile>,
        restrictions: Arc<GlobalRestrictions>,
    ) -> Result<Self, PrepareError> {
        let (kustomizations, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| is_kustomization(&file.contents));
        if kustomizations.len() > 1 {
            let paths: Vec<String> = kustomizations.into_iter().map(|file| file.path).collect();
            return Err(PrepareError::Kustomizations(paths.join(", ")));
        }
        let spec = files.iter().find(|file| file.path == release_core::artifact::FILE_NAME);
        let spec = Spec::from_json(spec.map_or(b"{}", |file| &file.contents))?;
        let application = &spec.application;
        let message = ReleaseMessage {
            environment: release.environment.to_string(),
            service: release.service.to_string(),
            artifact_id: release.artifact_id.to_string(),
            released_by: release.actor.clone(),
            created_by: Person::new(&application.author_name, &application.author_email),
            intent: release.intent.clone(),
        };
        Ok(Self {
            message: message.to_string(),
            author: release.actor.clone(),
            branch: application.branch.clone(),
            release,
            restrictions,
            files: files.into_iter().map(to_git).collect(),
            kustomization: kustomizations.into_iter().next().map(to_git),
            spec,
        })
    }

    /// The artifact's.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn plan(&self, tree: &Tree<'_>) -> Result<Plan, PlanError> {
        let Release { service, environment, namespace, .. } = &self.release;
        let artifact_file = layout::artifact_file(environment, namespace, service);
        if running_artifact(tree, &artifact_file)?.as_deref() == Some(self.release.artifact_id.as_str()) {
            return Ok(Plan::Nothing);
        }
        let candidate = Candidate { branch: &self.branch, environment };
        if let Some(reasons) = gate::refusal(tree, &self.restrictions, service, candidate)? {
            return Err(PlanError::Refused(reasons));
        }
        let path = layout::service_directory(environment, namespace, service);
        let mut operations = vec![Operation::ReplaceDirectory { path, files: self.files.clone() }];
        let path = layout::kustomization_file(environment, namespace, service);
        match &self.kustomization {
            Some(File { contents, executable, .. }) => operations.push(Operation::PutFile {
                path,
                contents: contents.clone(),
                executable: *executable,
            }),
            None if tree.id(&path)?.is_some() => operations.push(Operation::Remove { path }),
            None => {}
        }
        Ok(Plan::Commit(Edit { message: self.message.clone(), author: self.author.clone(), operations }))
    }
}

/// The id in an `artifact.json`; `None` when there is no such file or it cannot be read.
pub(crate) fn running_artifact(tree: &Tree<'_>, artifact_file: &str) -> Result<Option<String>, GitError> {
    let contents = tree.file(artifact_file)?;
    Ok(contents.and_then(|contents| Spec::from_json(&contents).ok()).map(|spec| spec.id))
}

fn to_git(file: ArtifactFile) -> File {
    File { path: file.path, contents: file.contents, executable: file.executable }
}

const KUSTOMIZATION_GROUP: &str = "kustomize.toolkit.fluxcd.io/";

/// Whether the file's first YAML document is a Flux `Kustomization`. A file that
/// is no YAML is none.
fn is_kustomization(contents: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        api_version: String,
        kind: String,
    }
    // Parsing every manifest of every release would be slow.
    let Some(text) = str::from_utf8(contents).ok().filter(|text| text.contains(KUSTOMIZATION_GROUP)) else {
        return false;
    };
    let mut documents = serde_norway::Deserializer::from_str(text);
    let head = documents.next().and_then(|document| Head::deserialize(document).ok());
    head.is_some_and(|head| head.api_version.starts_with(KUSTOMIZATION_GROUP) && head.kind == "Kustomization")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flux_kustomizations_are_recognised() {
        let cases = [
            ("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n", true),
            (
                "kind: Kustomization\n# x\napiVersion: \"kustomize.toolkit.fluxcd.io/v1beta2\"\nspec: {}\n",
                true,
            ),
            ("---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n", true),
            // The other Kustomization, that of the kustomize tool.
            ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", false),
            ("apiVersion: v1\nkind: ConfigMap\ndata:\n  x: kustomize.toolkit.fluxcd.io/v1\n", false),
            ("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: [\n", false),
            ("", false),
        ];
        for (contents, expected) in cases {
            assert_eq!(is_kustomization(contents.as_bytes()), expected, "{contents}");
        }
        assert!(!is_kustomization(b"\xff kustomize.toolkit.fluxcd.io/"));
    }
}
