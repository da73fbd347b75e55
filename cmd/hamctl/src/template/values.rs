//! The server's answers with the names that the field's templates know: Go's
//! exported names. Every field is there, empty or not, so that a template can test it.

use gtmpl::Value;
use release_api::{
    AutoReleasePolicy, BranchRestrictionPolicy, DescribeArtifactResponse, DescribeReleaseResponse,
    PoliciesResponse, Release,
    v1::{EnvironmentStatus, Rollout, StatusResponse, WorkloadStatus},
};
use release_core::{
    Intent, Spec,
    artifact::{Image, Repository, Stage, StageData, Vulnerabilities},
};

use crate::rollouts::{state, truth};

pub(crate) fn status(service: &str, status: &StatusResponse) -> Value {
    object([
        ("Service", service.into()),
        ("DefaultNamespaces", status.default_namespaces.into()),
        ("Environments", list(&status.environments, environment)),
    ])
}

pub(crate) fn releases(described: &DescribeReleaseResponse) -> Value {
    object([
        ("Service", text(&described.service)),
        ("Environment", text(&described.environment)),
        ("Releases", list(&described.releases, release)),
    ])
}

pub(crate) fn artifacts(described: &DescribeArtifactResponse) -> Value {
    object([("Service", text(&described.service)), ("Artifacts", list(&described.artifacts, spec))])
}

pub(crate) fn policies(policies: &PoliciesResponse) -> Value {
    object([
        ("Service", text(&policies.service)),
        ("AutoReleases", list(&policies.auto_releases, auto_release)),
        ("BranchRestrictions", list(&policies.branch_restrictions, branch_restriction)),
    ])
}

fn auto_release(policy: &AutoReleasePolicy) -> Value {
    object([
        ("ID", text(&policy.id)),
        ("Branch", text(&policy.branch)),
        ("Environment", text(&policy.environment)),
    ])
}

fn branch_restriction(policy: &BranchRestrictionPolicy) -> Value {
    object([
        ("ID", text(&policy.id)),
        ("BranchRegex", text(&policy.branch_regex)),
        ("Environment", text(&policy.environment)),
    ])
}

/// `promotion from dev`
pub(crate) fn intent_sentence(intent: &Intent) -> String {
    sentence(intent.kind(), intent.detail())
}

/// The same for what [`releases`] made of an intent.
pub(super) fn sentence_of_intent_value(intent: &Value) -> Option<String> {
    let field = |value: &Value, name: &str| match value {
        Value::Object(fields) => fields.get(name).cloned(),
        _ => None,
    };
    let kind = field(intent, "Type")?.to_string();
    let detail = |part, name| field(&field(intent, part)?, name).map(|detail| detail.to_string());
    let detail = match kind.as_str() {
        "ReleaseBranch" => detail("ReleaseBranch", "Branch")?,
        "Promote" => detail("Promote", "FromEnvironment")?,
        "Rollback" => detail("Rollback", "PreviousArtifactID")?,
        _ => String::new(),
    };
    Some(sentence(&kind, &detail))
}

fn sentence(kind: &str, detail: &str) -> String {
    match kind {
        "ReleaseArtifact" => "release of an artifact".to_owned(),
        "ReleaseBranch" => format!("release of branch {detail}"),
        "Promote" => format!("promotion from {detail}"),
        "Rollback" => format!("rollback of {detail}"),
        _ => "automatic release by a policy".to_owned(),
    }
}

fn environment(status: &EnvironmentStatus) -> Value {
    let environment = &status.environment;
    object([
        ("Rollout", rollout(status.rollout.as_ref())),
        ("Workloads", list(&status.workloads, workload)),
        ("Name", text(&environment.name)),
        ("Tag", text(&environment.tag)),
        ("Committer", text(&environment.committer)),
        ("Author", text(&environment.author)),
        ("Message", text(&environment.message)),
        ("Date", environment.date.into()),
        ("BuildURL", text(&environment.build_url)),
        // The field's name for it before it changed.
        ("BuildUrl", text(&environment.build_url)),
        ("HighVulnerabilities", environment.high_vulnerabilities.into()),
        ("MediumVulnerabilities", environment.medium_vulnerabilities.into()),
        ("LowVulnerabilities", environment.low_vulnerabilities.into()),
    ])
}

/// Everything is empty where no daemon tells.
fn rollout(rollout: Option<&Rollout>) -> Value {
    let since = rollout.map(|rollout| rollout.since.to_rfc3339()).unwrap_or_default();
    let error = rollout.and_then(|rollout| rollout.error.as_deref()).unwrap_or_default();
    object([
        ("State", text(rollout.map_or("", |rollout| state(rollout.state)))),
        ("Since", since.into()),
        ("Available", rollout.map_or(0, |rollout| rollout.available).into()),
        ("Desired", rollout.map_or(0, |rollout| rollout.desired).into()),
        ("Error", text(error)),
    ])
}

fn workload(workload: &WorkloadStatus) -> Value {
    object([
        ("Kind", text(&workload.kind)),
        ("Namespace", text(&workload.namespace)),
        ("Name", text(&workload.name)),
        ("Truth", text(truth(workload.truth))),
        ("Difference", text(workload.difference.as_deref().unwrap_or_default())),
        ("ArtifactID", text(&workload.artifact_id)),
        ("Available", workload.available.into()),
        ("Desired", workload.desired.into()),
        ("Error", text(workload.error.as_deref().unwrap_or_default())),
    ])
}

fn release(release: &Release) -> Value {
    object([
        ("ReleaseIndex", release.release_index.into()),
        ("Artifact", spec(&release.artifact)),
        ("ReleasedAt", release.released_at.to_rfc3339().into()),
        ("ReleasedByEmail", text(&release.released_by_email)),
        ("ReleasedByName", text(&release.released_by_name)),
        ("Intent", intent(&release.intent)),
    ])
}

fn intent(intent: &Intent) -> Value {
    let detail = |kind| text(if intent.kind() == kind { intent.detail() } else { "" });
    object([
        ("Type", intent.kind().into()),
        ("ReleaseBranch", object([("Branch", detail("ReleaseBranch"))])),
        ("Promote", object([("FromEnvironment", detail("Promote"))])),
        ("Rollback", object([("PreviousArtifactID", detail("Rollback"))])),
    ])
}

fn spec(spec: &Spec) -> Value {
    object([
        ("ID", text(&spec.id)),
        ("Service", text(&spec.service)),
        ("Namespace", text(&spec.namespace)),
        ("Squad", text(&spec.squad)),
        ("Application", repository(&spec.application)),
        (
            "CI",
            object([
                ("JobURL", text(&spec.ci.job_url)),
                ("Start", spec.ci.start.to_rfc3339().into()),
                ("End", spec.ci.end.to_rfc3339().into()),
            ]),
        ),
        (
            "Shuttle",
            object([
                ("Plan", repository(&spec.shuttle.plan)),
                ("ShuttleVersion", text(&spec.shuttle.shuttle_version)),
            ]),
        ),
        ("Stages", list(&spec.stages, stage)),
    ])
}

fn repository(repository: &Repository) -> Value {
    object([
        ("Branch", text(&repository.branch)),
        ("SHA", text(&repository.sha)),
        ("AuthorName", text(&repository.author_name)),
        ("AuthorEmail", text(&repository.author_email)),
        ("CommitterName", text(&repository.committer_name)),
        ("CommitterEmail", text(&repository.committer_email)),
        ("Message", text(&repository.message)),
        ("Name", text(&repository.name)),
        ("URL", text(&repository.url)),
        ("Provider", text(&repository.provider)),
    ])
}

fn stage(stage: &Stage) -> Value {
    let data = match &stage.data {
        StageData::Build(found) | StageData::Push(found) => image(found),
        StageData::Test(test) => object([
            ("URL", text(&test.url)),
            (
                "Results",
                object([
                    ("Passed", test.results.passed.into()),
                    ("Failed", test.results.failed.into()),
                    ("Skipped", test.results.skipped.into()),
                ]),
            ),
        ]),
        StageData::SnykCode(scan) => object([
            ("SnykVersion", text(&scan.snyk_version)),
            ("URL", text(&scan.url)),
            ("Language", text(&scan.language)),
            ("Vulnerabilities", vulnerabilities(scan.vulnerabilities)),
        ]),
        StageData::SnykDocker(scan) => object([
            ("Tag", text(&scan.tag)),
            ("SnykVersion", text(&scan.snyk_version)),
            ("URL", text(&scan.url)),
            ("BaseImage", text(&scan.base_image)),
            ("Vulnerabilities", vulnerabilities(scan.vulnerabilities)),
        ]),
        StageData::Unknown(_) => Value::Nil,
    };
    object([("ID", text(&stage.id)), ("Name", text(&stage.name)), ("Data", data)])
}

fn image(image: &Image) -> Value {
    object([
        ("Image", text(&image.image)),
        ("Tag", text(&image.tag)),
        ("DockerVersion", text(&image.docker_version)),
    ])
}

fn vulnerabilities(found: Vulnerabilities) -> Value {
    object([("High", found.high.into()), ("Medium", found.medium.into()), ("Low", found.low.into())])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn list<T>(items: &[T], value: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(value).collect())
}
