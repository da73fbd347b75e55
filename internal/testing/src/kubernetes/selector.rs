//! Which objects a list or a watch is about.

use serde_json::Value;

use super::store::{Change, Key, What};

/// All conditions of `labelSelector` and `fieldSelector`.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    namespace: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
struct Condition {
    /// Of a JSON value.
    pointer: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    Exists,
    ExistsNot,
}

/// What a change looks like to somebody who sees only what is selected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    Added(&'a [u8]),
    Modified(&'a [u8]),
    Deleted(&'a [u8]),
    Bookmark,
}

impl Selector {
    /// The error says what is not understood.
    pub(super) fn new(namespace: Option<String>, labels: &str, fields: &str) -> Result<Self, String> {
        let labels =
            labels.split(',').filter(|text| !text.is_empty()).map(|text| condition(text, label_pointer));
        let fields =
            fields.split(',').filter(|text| !text.is_empty()).map(|text| condition(text, field_pointer));
        Ok(Self { namespace, conditions: labels.chain(fields).collect::<Result<_, _>>()? })
    }

    pub(super) fn selects(&self, key: &Key, body: &[u8]) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.0) && self.holds(body)
    }

    /// Whether every object of its namespaces is selected.
    pub(super) fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// `None`: not seen at all.
    pub(super) fn see<'a>(&self, change: &'a Change) -> Option<Seen<'a>> {
        match &change.what {
            What::Bookmark => Some(Seen::Bookmark),
            What::Added(now) => self.sees(now).then_some(Seen::Added(now)),
            What::Deleted(last) => self.sees(last).then_some(Seen::Deleted(last)),
            What::Modified { before, now } => match (self.sees(before), self.sees(now)) {
                (true, true) => Some(Seen::Modified(now)),
                (false, true) => Some(Seen::Added(now)),
                (true, false) => Some(Seen::Deleted(now)),
                (false, false) => None,
            },
        }
    }

    fn sees(&self, body: &[u8]) -> bool {
        self.namespace.is_none() && self.is_everything() || {
            let object = parse(body);
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            self.namespace.as_ref().is_none_or(|wanted| wanted == namespace) && self.all_hold(&object)
        }
    }

    fn holds(&self, body: &[u8]) -> bool {
        self.is_everything() || self.all_hold(&parse(body))
    }

    fn all_hold(&self, object: &Value) -> bool {
        self.conditions.iter().all(|condition| condition.holds(object))
    }
}

impl Condition {
    fn holds(&self, object: &Value) -> bool {
        let value = object.pointer(&self.pointer).and_then(Value::as_str);
        match &self.test {
            Test::Is(text) => value.unwrap_or_default() == text,
            Test::IsNot(text) => value.unwrap_or_default() != text,
            Test::Exists => value.is_some(),
            Test::ExistsNot => value.is_none(),
        }
    }
}

fn condition(words: &str, pointer: fn(&str) -> Result<String, String>) -> Result<Condition, String> {
    if words.contains(['(', ' ']) {
        return Err(format!("the fake does not understand the selector '{words}'"));
    }
    let (name, test) = if let Some((name, value)) = words.split_once("!=") {
        (name, Test::IsNot(value.into()))
    } else if let Some((name, value)) = words.split_once("==").or_else(|| words.split_once('=')) {
        (name, Test::Is(value.into()))
    } else if let Some(name) = words.strip_prefix('!') {
        (name, Test::ExistsNot)
    } else {
        (words, Test::Exists)
    };
    Ok(Condition { pointer: pointer(name)?, test })
}

#[expect(clippy::unnecessary_wraps, reason = "as the other one")]
fn label_pointer(name: &str) -> Result<String, String> {
    Ok(format!("/metadata/labels/{}", name.replace('~', "~0").replace('/', "~1")))
}

/// What API servers select pods by, and all other objects.
fn field_pointer(name: &str) -> Result<String, String> {
    match name {
        "metadata.name" | "metadata.namespace" | "status.phase" | "spec.nodeName" | "spec.restartPolicy" => {
            Ok(format!("/{}", name.replace('.', "/")))
        }
        _ => Err(format!("field label not supported: {name}")),
    }
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("it was written as JSON")
}
