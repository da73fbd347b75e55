//! Requests, and what is answered.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::{self, Body, Bytes},
    extract::{Query, State},
    http::{Method, header, request::Parts},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Shared, answer, discovery,
    faults::{Fault, Verb},
    kind::Kind,
    selector::Selector,
    store::{Gone, Key, Snapshot, WriteError, with_type},
    target::{Part, Target},
    watching,
};

/// As real API servers.
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

pub(super) type Parameters = HashMap<String, String>;

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Some(target) = Target::of(head.uri.path(), &shared.state().store) else {
        return answer::failure(404, "the server could not find the requested resource");
    };
    let Some(verb) = verb(&head.method, &target, &parameters) else {
        return answer::failure(405, "the server does not allow this method on the requested resource");
    };
    let fault = shared.state().faults.meet(verb, &target, head.uri.query().unwrap_or_default());
    match fault {
        None => execute(&shared, verb, target, &parameters, &head, body).await,
        Some(Fault::Status(status)) => answer::failure(status, "told to fail"),
        Some(Fault::TooManyRequests { retry_after }) => answer::too_many_requests(retry_after),
        Some(Fault::GoneEvent) => answer::json_text(200, watching::gone_event()),
        Some(Fault::Hangs) => std::future::pending().await,
        Some(Fault::Slow(delay)) => {
            let response = execute(&shared, verb, target, &parameters, &head, body).await;
            tokio::time::sleep(delay).await;
            response
        }
        Some(Fault::LosesAnswer) => {
            execute(&shared, verb, target, &parameters, &head, body).await;
            answer::broken()
        }
    }
}

fn verb(method: &Method, target: &Target, parameters: &Parameters) -> Option<Verb> {
    let is_watch = parameters.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
    Some(match (method, target) {
        (&Method::GET, Target::Discovery(_)) => Verb::Discover,
        (&Method::GET, Target::Collection { .. }) if is_watch => Verb::Watch,
        (&Method::GET, Target::Collection { .. }) => Verb::List,
        (&Method::GET, Target::Object { part: Part::Log, .. }) => Verb::Log,
        (_, Target::Object { part: Part::Log, .. }) => return None,
        (&Method::GET, Target::Object { .. }) => Verb::Get,
        (&Method::POST, Target::Collection { .. }) => Verb::Create,
        (&Method::PUT, Target::Object { .. }) => Verb::Update,
        (&Method::PATCH, Target::Object { .. }) => Verb::Patch,
        (&Method::DELETE, Target::Object { part: Part::Main, .. }) => Verb::Delete,
        _ => return None,
    })
}

async fn execute(
    shared: &Arc<Shared>,
    verb: Verb,
    target: Target,
    parameters: &Parameters,
    head: &Parts,
    body: Body,
) -> Response {
    let Ok(body) = body::to_bytes(body, MAX_BODY_BYTES).await else {
        return answer::failure(413, "the request is too large");
    };
    match target {
        Target::Discovery(path) => discovery::answer(&path, &shared.state().store),
        Target::Collection { kind, namespace } => {
            collection(shared, verb, kind, namespace, parameters, &body)
        }
        Target::Object { kind, key, part } => match verb {
            Verb::Log => log(shared, &key, parameters),
            Verb::Get => found(shared, &kind, &key),
            Verb::Delete => answer::written(200, shared.write(|store| store.remove(&kind, &key))),
            Verb::Patch => patch(shared, &kind, &key, part, head, &body),
            _ => update(shared, &kind, &key, part, &body),
        },
    }
}

fn collection(
    shared: &Arc<Shared>,
    verb: Verb,
    kind: Kind,
    namespace: Option<String>,
    parameters: &Parameters,
    body: &Bytes,
) -> Response {
    if verb == Verb::Create {
        return create(shared, &kind, namespace, body);
    }
    let text = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let selector = match Selector::new(namespace, text("labelSelector"), text("fieldSelector")) {
        Ok(selector) => selector,
        Err(message) => return answer::failure(400, &message),
    };
    match verb {
        Verb::Watch => watching::answer(shared, kind, selector, parameters),
        _ => list(shared, &kind, &selector, parameters),
    }
}

fn create(shared: &Shared, kind: &Kind, namespace: Option<String>, body: &Bytes) -> Response {
    let Ok(mut object) = serde_json::from_slice::<Value>(body) else {
        return answer::failure(400, "the body is no JSON");
    };
    if !object["metadata"].is_object() {
        return answer::failure(422, "metadata is required");
    }
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    answer::written(201, shared.write(|store| store.create(kind, object)))
}

fn found(shared: &Shared, kind: &Kind, key: &Key) -> Response {
    let found = shared.state().store.get(kind, key).ok_or(WriteError::NotFound);
    answer::written(200, found)
}

/// All objects, or a page of them: `limit`, and `continue` as the page before said.
fn list(shared: &Shared, kind: &Kind, selector: &Selector, parameters: &Parameters) -> Response {
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let token = parameters.get("continue").filter(|token| !token.is_empty());
    match page(shared, kind, selector, limit, token.map(String::as_str)) {
        Ok(page) => answer::json_text(200, page),
        Err(gone) => answer::gone(gone),
    }
}

fn page(
    shared: &Shared,
    kind: &Kind,
    selector: &Selector,
    limit: Option<usize>,
    token: Option<&str>,
) -> Result<Vec<u8>, Gone> {
    let (snapshot, start) = match token {
        Some(token) => {
            let (version, start) = read_token(token).ok_or(Gone)?;
            (shared.state().store.kept(kind, version)?, Some(start))
        }
        None => (shared.state().store.snapshot(kind), None),
    };
    let objects = match start {
        Some(start) => snapshot.objects.range(start..),
        None => snapshot.objects.range(Key::default()..),
    };
    let mut selected = objects.filter(|(key, body)| selector.selects(key, body));
    let items: Vec<&Bytes> =
        selected.by_ref().take(limit.unwrap_or(usize::MAX)).map(|(_, body)| body).collect();
    let next = selected.next().map(|(key, _)| write_token(snapshot.version, key));
    if next.is_some() && token.is_none() {
        shared.state().store.keep(snapshot.clone());
    }
    Ok(render(kind, &snapshot, &items, next.as_deref()))
}

/// Items of the kinds that every cluster has carry no type of their own; those of other kinds do.
fn render(kind: &Kind, snapshot: &Snapshot, items: &[&Bytes], next: Option<&str>) -> Vec<u8> {
    let metadata =
        json!({"resourceVersion": snapshot.version.to_string(), "continue": next.unwrap_or_default()});
    let head = format!(
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{metadata},"items":["#,
        kind.name,
        kind.api_version()
    );
    let mut json = head.into_bytes();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        if kind.group.contains('.') {
            json.extend(with_type(kind, item));
        } else {
            json.extend_from_slice(item);
        }
    }
    json.extend_from_slice(b"]}");
    json
}

fn write_token(version: u64, start: &Key) -> String {
    URL_SAFE_NO_PAD.encode(json!([version, start]).to_string())
}

fn read_token(token: &str) -> Option<(u64, Key)> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// Merge patches; and applies by a field manager, as far as leases need them.
fn patch(shared: &Shared, kind: &Kind, key: &Key, part: Part, head: &Parts, body: &Bytes) -> Response {
    let media =
        head.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let is_apply = media == "application/apply-patch+yaml";
    if media != "application/merge-patch+json" && !is_apply {
        return answer::failure(415, "the fake takes merge patches");
    }
    let Ok(patch) = serde_json::from_slice::<Value>(body) else {
        return answer::failure(400, "the body is no JSON");
    };
    let patched = shared.write(|store| match store.get(kind, key) {
        Some(before) => {
            let mut object = before.clone();
            merge(&mut object, &patch);
            store.replace(kind, key, &before, only(part, &before, object))
        }
        None if is_apply => {
            let mut object = patch.clone();
            object["metadata"]["namespace"] = json!(key.0);
            store.create(kind, object)
        }
        None => Err(WriteError::NotFound),
    });
    answer::written(200, patched)
}

fn update(shared: &Shared, kind: &Kind, key: &Key, part: Part, body: &Bytes) -> Response {
    let Ok(object) = serde_json::from_slice::<Value>(body) else {
        return answer::failure(400, "the body is no JSON");
    };
    let updated = shared.write(|store| {
        let before = store.get(kind, key).ok_or(WriteError::NotFound)?;
        store.replace(kind, key, &before, only(part, &before, object))
    });
    answer::written(200, updated)
}

/// The status is written at an address of its own, and there nothing else is.
fn only(part: Part, before: &Value, mut object: Value) -> Value {
    if part == Part::Status {
        let mut only_status = before.clone();
        only_status["status"] = object["status"].take();
        only_status["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].take();
        return only_status;
    }
    match before.get("status") {
        Some(status) => object["status"] = status.clone(),
        None => drop(object.as_object_mut().and_then(|fields| fields.shift_remove("status"))),
    }
    object
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let object = target.as_object_mut().expect("it was just made one");
    for (name, value) in fields {
        if value.is_null() {
            object.shift_remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The last `tailLines`, cut after `limitBytes`.
fn log(shared: &Shared, key: &Key, parameters: &Parameters) -> Response {
    let container = parameters.get("container").cloned().unwrap_or_default();
    let id = (key.0.clone(), key.1.clone(), container);
    let Some(log) = shared.state().logs.get(&id).cloned() else {
        return answer::failure(400, "container is waiting to start: there is no log");
    };
    let number =
        |name: &str| parameters.get(name).and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let mut tail = lines[lines.len().saturating_sub(number("tailLines"))..].concat().into_bytes();
    tail.truncate(number("limitBytes"));
    Response::new(Body::from(tail))
}
