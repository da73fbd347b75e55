//! Policies, and what new artifacts set off.

use std::collections::BTreeSet;

use futures::future::join_all;
use release_api::v1::ReleaseState;
use release_core::{
    event::NewArtifact,
    policy::{BranchRegex, MAX_FILE_BYTES},
};

use super::*;

impl Fixture {
    async fn restrict(&self, service: &str, environment: &str, pattern: &str) -> Result<(), FlowError> {
        let regex = BranchRegex::new(pattern).unwrap();
        self.flow.apply_branch_restriction(name(service), regex, name(environment), jane()).await.map(drop)
    }

    async fn auto_release(&self, service: &str, branch: &str, environment: &str) -> Result<(), FlowError> {
        let (service, environment) = (name(service), name(environment));
        self.flow.apply_auto_release(service, branch.to_owned(), environment, jane()).await.map(drop)
    }

    async fn delete(&self, service: &str, ids: &[&str]) -> Result<usize, FlowError> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.flow.delete_policies(name(service), ids, jane()).await
    }

    /// Uploads an artifact and tells of it, as the upload's endpoint does.
    async fn push(&self, artifact: &ArtifactBuilder) {
        self.upload(artifact).await;
        self.stored(artifact).await;
    }

    async fn stored(&self, artifact: &ArtifactBuilder) {
        let (service, artifact_id) = (name(&artifact.spec().service), name(&artifact.spec().id));
        let md5 = Checksum::of(&artifact.zip()).to_string();
        let event = NewArtifact { service, artifact_id };
        self.flow.artifact_stored(event, &md5, "a-request".into()).await.unwrap();
    }

    pub(super) async fn drained(&self) {
        while !self.flow.events().await.unwrap().pending.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    async fn running(&self, service: &str) -> Vec<(String, String)> {
        let status = self.flow.status(name(service), None).await.unwrap();
        status.environments.into_iter().map(|environment| (environment.name, environment.tag)).collect()
    }

    async fn dead_reasons(&self) -> Vec<String> {
        self.flow.events().await.unwrap().dead.into_iter().filter_map(|event| event.reason).collect()
    }
}

fn jane() -> Person {
    Person::new("Jane Doe", "jane@example.com")
}

fn is_invalid(result: Result<(), FlowError>, part: &str) {
    match result {
        Err(FlowError::Invalid(message)) => assert!(message.contains(part), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_policy_is_one_commit_by_the_acting_person_and_is_on_the_remote_when_it_is_answered() {
    let fixture = Fixture::start(Origin::new()).await;
    let committed = |format: &str| fixture.origin.git(&["log", "-1", &format!("--format={format}"), "main"]);
    fixture.auto_release("api", "master", "dev").await.unwrap();
    assert_eq!(
        committed("%an <%ae>|%B"),
        "Jane Doe <jane@example.com>|[api] policy update: apply auto-release in 'dev'"
    );
    fixture.restrict("api", "prod", "^master$").await.unwrap();
    assert_eq!(committed("%s"), "[api] policy update: apply branch-restriction in 'prod'");
    let file = String::from_utf8(fixture.origin.file("policies/api.json").unwrap()).unwrap();
    assert!(
        file.starts_with("{\n  \"service\": \"api\",\n  \"autoReleases\": [\n    {\n")
            && file.ends_with("}\n")
    );
    let listed = fixture.flow.policies(name("api")).await.unwrap();
    assert_eq!((listed.auto_releases.len(), listed.branch_restrictions.len()), (1, 1));

    let head = fixture.origin.head();
    fixture.auto_release("api", "master", "dev").await.unwrap();
    assert_eq!(fixture.origin.head(), head, "the same again is no commit");

    assert_eq!(fixture.delete("api", &["auto-release-master-dev"]).await.unwrap(), 1);
    assert_eq!(committed("%an|%s"), "Jane Doe|[api] policy update: delete policies");
    let unknown = fixture.delete("api", &["nonsense"]).await.unwrap_err();
    assert!(
        matches!(&unknown, FlowError::NotFound(m) if m.contains("it has 'branch-restriction-prod'")),
        "{unknown}"
    );
    assert_eq!(fixture.delete("api", &["branch-restriction-prod", "nonsense"]).await.unwrap(), 1);
    assert_eq!(fixture.origin.file("policies/api.json"), None, "without policies there is no file");
    assert!(matches!(fixture.delete("api", &["x"]).await, Err(FlowError::NotFound(_))));
    assert!(matches!(fixture.flow.policies(name("api")).await, Err(FlowError::NotFound(_))));
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn concurrent_changes_of_one_service_lose_none() {
    let fixture = Fixture::start(Origin::new()).await;
    for number in 0..25 {
        fixture.auto_release("api", "master", &format!("old{number}")).await.unwrap();
    }
    let apply = (0..25).map(|number| {
        let fixture = &fixture;
        async move { fixture.auto_release("api", "master", &format!("new{number}")).await.unwrap() }
    });
    let delete = (0..25).map(|number| {
        let fixture = &fixture;
        async move {
            let id = format!("auto-release-master-old{number}");
            assert_eq!(fixture.delete("api", &[&id]).await.unwrap(), 1);
        }
    });
    tokio::join!(join_all(apply), join_all(delete));
    let listed = fixture.flow.policies(name("api")).await.unwrap();
    let found: BTreeSet<_> = listed.auto_releases.into_iter().map(|policy| policy.environment).collect();
    assert_eq!(found, (0..25).map(|number| format!("new{number}")).collect());
    assert_eq!(fixture.origin.titles().len(), 76);
    fixture.origin.assert_clean();
}

#[tokio::test]
async fn a_change_stands_on_what_others_have_pushed() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.restrict("api", "prod", "^master$").await.unwrap();
    let theirs = r#"{"service":"api","autoReleases":[{"id":"auto-release-dev-dev","branch":"dev","environment":"dev"}]}"#;
    fixture.origin.commit("by hand", &[("policies/api.json", theirs)]);
    is_invalid(fixture.restrict("api", "dev", "^master$").await, "auto-release-dev-dev");
    // What this server wrote before is gone, so it is no conflict.
    fixture.auto_release("api", "anything", "prod").await.unwrap();
}

#[tokio::test]
async fn while_the_remote_is_away_policies_are_unavailable_and_nothing_of_them_is_left() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.origin.go_away();
    let error = fixture.auto_release("api", "master", "dev").await.unwrap_err();
    assert!(matches!(&error, FlowError::Unavailable(m) if m.contains("try again in a moment")), "{error}");
    fixture.origin.come_back();
    fixture.restrict("api", "prod", "^master$").await.unwrap();
    assert_eq!(fixture.flow.policies(name("api")).await.unwrap().auto_releases, []);
}

#[tokio::test]
async fn restrictions_for_all_services_are_listed_win_and_cannot_be_deleted() {
    let origin = Origin::new();
    let own = r#"{"branchRestrictions":[{"id":"branch-restriction-prod","branchRegex":"^own$","environment":"prod"}]}"#;
    origin.commit("before the flag was set", &[("policies/api.json", own)]);
    let fixture = Fixture::start_restricted(origin, "prod=^master$,staging=^(master|develop)$").await;
    for service in ["api", "without-policies"] {
        let listed = fixture.flow.policies(name(service)).await.unwrap().branch_restrictions;
        let found: Vec<_> =
            listed.iter().map(|p| (p.id.as_str(), p.branch_regex.as_str(), p.environment.as_str())).collect();
        assert_eq!(found, [("", "^master$", "prod"), ("", "^(master|develop)$", "staging")], "{service}");
    }
    is_invalid(fixture.auto_release("api", "own", "prod").await, "the server's restriction for all services");
    is_invalid(fixture.restrict("api", "staging", "^own$").await, "the server restricts 'staging'");
    assert!(matches!(
        fixture.delete("other", &["", "branch-restriction-prod"]).await,
        Err(FlowError::NotFound(_))
    ));
    fixture.upload(&ArtifactBuilder::new("api", "own-1").branch("own")).await;
    let refused = fixture.flow.release(request("api", "prod", "own-1")).await.unwrap_err();
    assert!(
        refused.to_string().contains("for all services wants a branch that matches '^master$'"),
        "{refused}"
    );
}

#[tokio::test]
async fn every_way_to_release_is_refused_when_it_is_asked_for_with_every_reason() {
    let fixture = Fixture::start_restricted(Origin::new(), "prod=^master$").await;
    fixture.upload(&ArtifactBuilder::new("api", "feature-1").branch("feature/x")).await;
    fixture.upload(&ArtifactBuilder::new("broken", "feature-1").branch("feature/x")).await;
    fixture.origin.commit("oops", &[("policies/broken.json", "{\"colour\":1}")]);
    fixture.writer.fetch().await.unwrap();
    for intent in [
        Intent::ReleaseArtifact,
        Intent::ReleaseBranch { branch: "feature/x".into() },
        Intent::Promote { from_environment: "dev".into() },
        Intent::Rollback { previous_artifact_id: "master-2".into() },
        Intent::AutoRelease,
    ] {
        let request = ReleaseRequest { intent: intent.clone(), ..request("api", "prod", "feature-1") };
        is_invalid(fixture.flow.release(request).await.map(drop), "branch 'feature/x' may not go to 'prod'");
    }
    let both = fixture.flow.release(request("broken", "prod", "feature-1")).await.map(drop);
    let message = both.as_ref().unwrap_err().to_string();
    assert!(message.contains("may not go to 'prod'"), "{message}");
    is_invalid(both, "policies/broken.json cannot be used: colour: unknown field `colour`");
    assert_eq!(fixture.origin.titles().len(), 2, "nothing was released");
}

#[tokio::test]
async fn a_release_that_was_accepted_is_refused_by_a_policy_that_came_before_its_commit() {
    let fixture = Fixture::start(Origin::new()).await;
    let restricted = r#"{"branchRestrictions":[{"id":"r","branchRegex":"^master$","environment":"prod"}]}"#;
    for (number, intent) in [
        Intent::ReleaseArtifact,
        Intent::ReleaseBranch { branch: "feature/x".into() },
        Intent::Promote { from_environment: "dev".into() },
        Intent::Rollback { previous_artifact_id: "master-2".into() },
    ]
    .into_iter()
    .enumerate()
    {
        // Accepted without the policy, which is on the remote, not known here.
        let service = format!("api{number}");
        fixture.upload(&ArtifactBuilder::new(&service, "feature-1").branch("feature/x")).await;
        fixture.origin.commit("by hand", &[(&format!("policies/{service}.json"), restricted)]);
        let status =
            fixture.release(ReleaseRequest { intent, ..request(&service, "prod", "feature-1") }).await;
        assert_eq!(status.state, ReleaseState::Failed);
        assert!(status.message.unwrap().contains("branch 'feature/x' may not go to 'prod': policy 'r'"));
        assert_eq!(fixture.origin.file(&format!("prod/releases/prod/{service}/artifact.json")), None);
    }
    assert_eq!(fixture.dead_reasons().await.len(), 4, "an operator may retry them");
}

#[tokio::test]
async fn a_broken_or_hostile_policy_file_concerns_its_own_service_only() {
    let huge = format!("{{\"service\":\"{}\"}}", "x".repeat(10 << 20));
    assert!(huge.len() > MAX_FILE_BYTES);
    let explosive =
        r#"{"branchRestrictions":[{"id":"r","branchRegex":"((a{900}){900}){900}","environment":"dev"}]}"#;
    let unknown = r#"{"autoReleases":[{"id":"a","branch":"m","environment":"dev","force":1}]}"#;
    let origin = Origin::new();
    let cases = [
        ("json", "{", "EOF while parsing an object"),
        ("unknown", unknown, "autoReleases[0].force: unknown field"),
        ("regex", explosive, "branchRestrictions[0].branchRegex: is too complex"),
        ("huge", &huge, "it is longer than"),
    ];
    let files: Vec<_> =
        cases.iter().map(|(service, contents, _)| (format!("policies/{service}.json"), *contents)).collect();
    let files: Vec<_> = files.iter().map(|(path, contents)| (path.as_str(), *contents)).collect();
    origin.commit("broken", &files);
    let fixture = Fixture::start(origin).await;
    for (service, _, problem) in cases {
        fixture.upload(&ArtifactBuilder::new(service, "master-1")).await;
        let file = format!("policies/{service}.json cannot be used: {problem}");
        is_invalid(fixture.flow.release(request(service, "dev", "master-1")).await.map(drop), &file);
        is_invalid(fixture.auto_release(service, "master", "dev").await, &file);
        if service != "regex" {
            is_invalid(fixture.flow.policies(name(service)).await.map(drop), &file);
            is_invalid(fixture.delete(service, &["a"]).await.map(drop), &file);
        }
    }
    // The way out of a regex is to replace or to delete it.
    fixture.restrict("regex", "dev", "^master$").await.unwrap();
    fixture.release(request("regex", "dev", "master-1")).await;

    fixture.auto_release("good", "master", "dev").await.unwrap();
    fixture.push(&ArtifactBuilder::new("good", "master-1")).await;
    fixture.push(&ArtifactBuilder::new("json", "master-2")).await;
    fixture.drained().await;
    assert_eq!(fixture.running("good").await, [("dev".into(), "master-1".into())]);
    let reasons = fixture.dead_reasons().await;
    assert!(reasons.len() == 1 && reasons[0].contains("policies/json.json cannot be used"), "{reasons:?}");
}

#[tokio::test]
async fn a_new_artifact_is_released_to_each_environment_of_its_branch_by_itself() {
    let fixture = Fixture::start(Origin::new()).await;
    for (branch, environment) in
        [("master", "dev"), ("master", "prod"), ("master", "nowhere"), ("develop", "staging")]
    {
        fixture.auto_release("api", branch, environment).await.unwrap();
    }
    let artifact =
        ArtifactBuilder::new("api", "master-1").environment("staging").author("Ada", "ada@example.com");
    fixture.push(&artifact).await;
    fixture.drained().await;
    let running =
        |artifact: &str| ["dev", "prod"].map(|environment| (environment.to_owned(), artifact.to_owned()));
    assert_eq!(fixture.running("api").await, running("master-1"));
    assert_eq!(
        fixture.origin.git(&["log", "-1", "--format=%an|%B", "main", "--", "dev"]),
        "Ada|[dev/api] auto release master-1 by ada@example.com\n\nService: api\nEnvironment: dev\n\
         Artifact-ID: master-1\nArtifact-released-by: Ada <ada@example.com>\n\
         Artifact-created-by: Ada <ada@example.com>\nRelease-intent: AutoRelease"
    );
    let reasons = fixture.dead_reasons().await;
    assert!(reasons.len() == 1 && reasons[0].contains("no environment 'nowhere'"), "{reasons:?}");

    let commits = fixture.origin.titles().len();
    fixture.stored(&artifact).await;
    fixture.push(&ArtifactBuilder::new("api", "feature-1").branch("feature/x")).await;
    fixture.push(&ArtifactBuilder::new("other", "master-1")).await;
    fixture.drained().await;
    assert_eq!(fixture.origin.titles().len(), commits, "told again, another branch, another service");
}

#[tokio::test]
async fn an_auto_release_obeys_the_policies_of_the_moment() {
    let fixture = Fixture::start(Origin::new()).await;
    let both = r#"{"autoReleases":[{"id":"a","branch":"develop","environment":"dev"},
        {"id":"b","branch":"develop","environment":"prod"}],
        "branchRestrictions":[{"id":"r","branchRegex":"^master$","environment":"prod"}]}"#;
    fixture.origin.commit("a conflict by hand", &[("policies/api.json", both)]);
    fixture.writer.fetch().await.unwrap();
    fixture.push(&ArtifactBuilder::new("api", "develop-1").branch("develop")).await;
    fixture.drained().await;
    assert_eq!(fixture.running("api").await, [("dev".into(), "develop-1".into())]);
    let reasons = fixture.dead_reasons().await;
    assert!(
        reasons.len() == 1 && reasons[0].contains("branch 'develop' may not go to 'prod'"),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn an_old_artifact_does_not_take_the_place_of_a_newer_one() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.auto_release("api", "master", "dev").await.unwrap();
    let (old, new) = (ArtifactBuilder::new("api", "master-1"), ArtifactBuilder::new("api", "master-2"));
    fixture.upload(&old).await;
    fixture.upload(&new).await;
    for artifact in [&new, &old] {
        fixture.stored(artifact).await;
        fixture.drained().await;
    }
    assert_eq!(fixture.running("api").await, [("dev".into(), "master-2".into())]);
    assert_eq!(fixture.origin.titles().len(), 3);
}

#[tokio::test]
async fn an_event_that_comes_again_after_a_restart_releases_nothing_twice() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.auto_release("api", "master", "dev").await.unwrap();
    let artifact = ArtifactBuilder::new("api", "master-1");
    fixture.push(&artifact).await;
    fixture.drained().await;
    // Somebody has released another one since.
    fixture.upload(&ArtifactBuilder::new("api", "hotfix-1").branch("hotfix")).await;
    fixture.release(request("api", "dev", "hotfix-1")).await;
    let commits = fixture.origin.titles().len();
    let fixture = Fixture::start(fixture.stop().await).await;
    fixture.stored(&artifact).await;
    fixture.drained().await;
    assert_eq!(fixture.origin.titles().len(), commits);
    assert_eq!(fixture.running("api").await, [("dev".into(), "hotfix-1".into())]);
}

#[tokio::test]
async fn a_new_artifact_that_was_told_of_is_released_after_a_restart() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.auto_release("api", "master", "dev").await.unwrap();
    fixture.stop.cancel();
    let artifact = ArtifactBuilder::new("api", "master-1");
    fixture.push(&artifact).await;
    let fixture = Fixture::start(fixture.stop().await).await;
    fixture.drained().await;
    assert_eq!(fixture.running("api").await, [("dev".into(), "master-1".into())]);
}

#[tokio::test]
async fn what_others_pushed_is_seen_when_somebody_tells_of_it() {
    let fixture = Fixture::start(Origin::new()).await;
    fixture.origin.commit(
        "by hand",
        &[("policies/api.json", r#"{"autoReleases":[{"id":"a","branch":"b","environment":"dev"}]}"#)],
    );
    assert!(fixture.flow.policies(name("api")).await.is_err(), "nobody told of it yet");
    for _ in 0..100 {
        fixture.flow.fetch_soon();
    }
    while fixture.flow.policies(name("api")).await.is_err() {
        tokio::task::yield_now().await;
    }
}
