//! `/policies…`

use axum::{Extension, Json, extract::State, http::StatusCode};
use release_api::{
    ApplyAutoReleaseResponse, ApplyBranchRestrictionResponse, DeletePoliciesResponse, PoliciesResponse,
};
use release_core::{Name, Person, policy::BranchRegex};
use tracing::Span;

use super::{
    AppState,
    access::Caller,
    error::ApiError,
    fields::{Address, Body, Fields, Noted},
    release::actor,
};

/// The most policies that one request deletes.
const MAX_IDS: usize = 100;

/// `GET /policies`
pub(super) async fn list(
    State(state): State<AppState>,
    Address(mut fields): Address,
) -> Result<Json<PoliciesResponse>, ApiError> {
    let service = fields.name("service");
    let service = fields.finish(|| service)?;
    let flow = state.flow()?;
    state.timed("policies", flow.policies(service)).await.map(Json)
}

/// `PATCH /policies/auto-release`
pub(super) async fn apply_auto_release(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(fields): Body,
) -> Result<(StatusCode, Json<ApplyAutoReleaseResponse>), ApiError> {
    let request = AutoRelease::read(fields, &caller)?;
    note(&request.service, &request.environment, &request.actor);
    let AutoRelease { service, branch, environment, actor } = request;
    let flow = state.flow()?;
    let applied = flow.apply_auto_release(service.clone(), branch, environment, actor);
    let policy = state.timed("apply_auto_release", applied).await?;
    let response = ApplyAutoReleaseResponse {
        id: policy.id,
        service: service.to_string(),
        branch: policy.branch,
        environment: policy.environment.to_string(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// `PATCH /policies/branch-restriction`
pub(super) async fn apply_branch_restriction(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(fields): Body,
) -> Result<(StatusCode, Json<ApplyBranchRestrictionResponse>), ApiError> {
    let request = BranchRestriction::read(fields, &caller)?;
    note(&request.service, &request.environment, &request.actor);
    let BranchRestriction { service, regex, environment, actor } = request;
    let flow = state.flow()?;
    let applied = flow.apply_branch_restriction(service.clone(), regex, environment, actor);
    let policy = state.timed("apply_branch_restriction", applied).await?;
    let response = ApplyBranchRestrictionResponse {
        id: policy.id,
        service: service.to_string(),
        branch_regex: policy.branch_regex,
        environment: policy.environment.to_string(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// `DELETE /policies`
pub(super) async fn delete(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(fields): Body,
) -> Result<Json<DeletePoliciesResponse>, ApiError> {
    let Deletion { service, ids, actor } = Deletion::read(fields, &caller)?;
    Span::current().record("service", service.as_str()).record("releaser", actor.display_name());
    let flow = state.flow()?;
    let deleted = flow.delete_policies(service.clone(), ids, actor);
    let count = state.timed("delete_policies", deleted).await?;
    Ok(Json(DeletePoliciesResponse { service: service.to_string(), count }))
}

#[derive(Debug)]
struct AutoRelease {
    service: Name,
    branch: String,
    environment: Name,
    actor: Person,
}

impl AutoRelease {
    fn read(mut fields: Fields, caller: &Caller) -> Result<Self, ApiError> {
        let (service, environment) = (fields.name("service"), fields.name("environment"));
        let branch = fields.text("branch");
        let actor = read_actor(&mut fields, caller);
        fields.finish(|| {
            Ok(Self { service: service?, branch: branch?, environment: environment?, actor: actor? })
        })
    }
}

#[derive(Debug)]
struct BranchRestriction {
    service: Name,
    regex: BranchRegex,
    environment: Name,
    actor: Person,
}

impl BranchRestriction {
    fn read(mut fields: Fields, caller: &Caller) -> Result<Self, ApiError> {
        let (service, environment) = (fields.name("service"), fields.name("environment"));
        let regex = regex(&mut fields);
        let actor = read_actor(&mut fields, caller);
        fields.finish(|| {
            Ok(Self { service: service?, regex: regex?, environment: environment?, actor: actor? })
        })
    }
}

#[derive(Debug)]
struct Deletion {
    service: Name,
    ids: Vec<String>,
    actor: Person,
}

impl Deletion {
    fn read(mut fields: Fields, caller: &Caller) -> Result<Self, ApiError> {
        let service = fields.name("service");
        let ids = fields.texts("policyIds", MAX_IDS);
        let actor = read_actor(&mut fields, caller);
        fields.finish(|| Ok(Self { service: service?, ids: ids?, actor: actor? }))
    }
}

fn regex(fields: &mut Fields) -> Result<BranchRegex, Noted> {
    let pattern = fields.text("branchRegex")?;
    BranchRegex::new(&pattern).map_err(|problem| fields.refuse("branchRegex", problem))
}

fn read_actor(fields: &mut Fields, caller: &Caller) -> Result<Person, Noted> {
    let (name, email) = (fields.optional_text("committerName"), fields.optional_text("committerEmail"));
    Ok(actor(&name?, &email?, caller))
}

fn note(service: &Name, environment: &Name, actor: &Person) {
    Span::current()
        .record("service", service.as_str())
        .record("environment", environment.as_str())
        .record("releaser", actor.display_name());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::{access::Login, auth::Audience};

    fn ci() -> Caller {
        Caller { login: Login::StaticToken, audiences: vec![Audience::Hamctl] }
    }

    fn fields(body: &Value) -> Fields {
        Fields::from_json(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn full_requests_are_read() {
        let body = json!({"service": "svc", "branch": "feature/x", "branchRegex": "^master$", "environment": "dev",
            "policyIds": ["a", "b"], "committerName": "Jane", "committerEmail": "j@x.io", "future": 1});
        let jane = Person::new("Jane", "j@x.io");
        let auto = AutoRelease::read(fields(&body), &ci()).unwrap();
        assert_eq!((auto.service.as_str(), auto.branch.as_str()), ("svc", "feature/x"));
        assert_eq!((auto.environment.as_str(), auto.actor), ("dev", jane.clone()));
        let restriction = BranchRestriction::read(fields(&body), &ci()).unwrap();
        assert_eq!((restriction.regex.as_str(), restriction.actor), ("^master$", jane.clone()));
        let deletion = Deletion::read(fields(&body), &ci()).unwrap();
        assert_eq!((deletion.ids, deletion.actor), (vec!["a".to_owned(), "b".to_owned()], jane));
    }

    #[test]
    fn all_bad_fields_are_named_at_once() {
        let body = json!({"service": "../x", "branch": "a\u{0}", "branchRegex": "(", "environment": [],
            "policyIds": {}, "committerName": 1, "committerEmail": "a\nb"});
        let all = [
            "service must not contain '/'",
            "committerName must be a text",
            "committerEmail must not contain",
        ];
        for (error, problems) in [
            (
                AutoRelease::read(fields(&body), &ci()).unwrap_err(),
                ["branch must not contain control characters", "environment must be a text, not a list"],
            ),
            (
                BranchRestriction::read(fields(&body), &ci()).unwrap_err(),
                ["branchRegex is not a regular expression: unclosed group", "environment must be a text"],
            ),
            (
                Deletion::read(fields(&body), &ci()).unwrap_err(),
                ["policyIds must be a list, not an object", ""],
            ),
        ] {
            for problem in all.iter().chain(&problems) {
                assert!(error.to_string().contains(problem), "{problem} is not in: {error}");
            }
        }
    }

    #[test]
    fn a_hostile_regex_or_list_is_refused() {
        for (field, value, problem) in [
            ("branchRegex", json!(null), "branchRegex must be given"),
            ("branchRegex", json!("x".repeat(600)), "branchRegex must not be longer than 512 bytes"),
            ("branchRegex", json!("(a{500}){500}"), "branchRegex is too complex"),
            ("branchRegex", json!("(a+)+\\1"), "branchRegex is not a regular expression"),
            ("policyIds", json!(null), "policyIds must be given"),
            ("policyIds", json!([]), "policyIds must be given"),
            ("policyIds", json!("a"), "policyIds must be a list, not a text"),
            ("policyIds", json!(["a", 1]), "policyIds must hold texts only"),
            ("policyIds", json!(["a", "b\u{0}"]), "policyIds must not hold control characters"),
            ("policyIds", json!([""]), "policyIds must not hold empty or very long texts"),
            ("policyIds", json!(["x".repeat(1 << 19)]), "policyIds must not hold empty or very long texts"),
            ("policyIds", json!(vec!["a"; MAX_IDS + 1]), "policyIds must not have more than 100 entries"),
        ] {
            let body = json!({"service": "svc", "environment": "dev", field: value});
            let error = match field {
                "branchRegex" => BranchRestriction::read(fields(&body), &ci()).unwrap_err(),
                _ => Deletion::read(fields(&body), &ci()).unwrap_err(),
            };
            assert!(error.to_string().contains(problem), "{problem} is not in: {error}");
        }
    }

    #[test]
    fn without_a_person_the_audience_acted() {
        let body = json!({"service": "svc", "environment": "dev", "branch": "master"});
        assert_eq!(AutoRelease::read(fields(&body), &ci()).unwrap().actor, Person::new("hamctl", ""));
    }
}
