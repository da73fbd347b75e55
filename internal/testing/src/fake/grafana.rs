use serde_json::{Value, json};

use super::{Api, Behaviour, Seen, Server, only_fields, text};

/// A Grafana that takes annotations in Graphite's form.
#[derive(Debug)]
pub struct Grafana(Server<Annotations>);

#[derive(Default)]
struct Annotations(Vec<Value>);

impl Grafana {
    pub async fn start() -> Self {
        Self(Server::start(Annotations::default()).await)
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.0.behave(behaviour);
    }

    /// How many requests arrived, accepted or not.
    pub fn attempts(&self) -> usize {
        self.0.attempts()
    }

    /// The bodies of all annotations. Panics when a request was not as documented.
    pub fn annotations(&self) -> Vec<Value> {
        self.0.read(|annotations| annotations.0.clone())
    }
}

impl Api for Annotations {
    fn handle(&mut self, request: &Seen) -> Result<(u16, Value), String> {
        let Seen { method, path, body, .. } = request;
        if (method.as_str(), path.as_str()) != ("POST", "/api/annotations/graphite") {
            return Err(format!("{method} {path} is not what takes annotations"));
        }
        only_fields(body, &["what", "tags", "data", "when"])?;
        text(body, "what")?;
        text(body, "data")?;
        let are_texts = |tags: &Vec<Value>| tags.iter().all(Value::is_string);
        if !body["tags"].as_array().is_some_and(are_texts) || !body["when"].is_i64() {
            return Err(format!("tags are texts and when is a number: {body}"));
        }
        self.0.push(body.clone());
        Ok((200, json!({ "message": "Graphite annotation added", "id": self.0.len() })))
    }
}
