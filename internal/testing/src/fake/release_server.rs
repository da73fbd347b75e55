use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{Api, Behaviour, Seen, Server, text};

/// A release server, as far as daemons talk to it: remembers what it was told, and under which ids.
#[derive(Debug)]
pub struct ReleaseServer(Server<Reports>);

/// What a daemon told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What of: the last part of the webhook's path, such as `deploy`.
    pub kind: String,
    pub id: String,
    pub body: Value,
}

#[derive(Default)]
struct Reports {
    /// All of them, also those that came again.
    told: Vec<Report>,
    states: Vec<Value>,
}

impl ReleaseServer {
    pub async fn start() -> Self {
        Self(Server::start(Reports::default()).await)
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

    /// In the order in which they came, also those that came again.
    pub fn told(&self) -> Vec<Report> {
        self.0.read(|reports| reports.told.clone())
    }

    /// How many came, also again: cheaper than all of them.
    pub fn count(&self) -> usize {
        self.0.read(|reports| reports.told.len())
    }

    /// What had an effect: the first report under each id.
    pub fn effects(&self) -> Vec<Report> {
        let mut first = BTreeMap::new();
        for (place, report) in self.told().into_iter().enumerate() {
            first.entry(report.id.clone()).or_insert((place, report));
        }
        let mut effects: Vec<_> = first.into_values().collect();
        effects.sort_by_key(|(place, _)| *place);
        effects.into_iter().map(|(_, report)| report).collect()
    }

    /// The workloads' states that came, in their order.
    pub fn states(&self) -> Vec<Value> {
        self.0.read(|reports| reports.states.clone())
    }

    /// Waits for at least so many effects; panics after two minutes.
    pub async fn wait_for_effects(&self, count: usize) -> Vec<Report> {
        let all = async {
            while self.effects().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let timely = tokio::time::timeout(Duration::from_mins(2), all).await;
        assert!(timely.is_ok(), "not {count} effects: {:#?}", self.effects());
        self.effects()
    }
}

impl Api for Reports {
    fn handle(&mut self, request: &Seen) -> Result<(u16, Value), String> {
        let Seen { method, path, body, idempotency_key } = request;
        if (method.as_str(), path.as_str()) == ("POST", "/api/v1/cluster-state") {
            text(body, "environment")?;
            self.states.push(body.clone());
            return Ok((200, json!({})));
        }
        let kind = path.strip_prefix("/webhook/daemon/k8s/").unwrap_or_default();
        if method != "POST" || !["deploy", "error", "joberror"].contains(&kind) {
            return Err(format!("{method} {path} is nothing that daemons are told to call"));
        }
        text(body, "artifactId")?;
        let id = idempotency_key.clone().ok_or("the report has no id")?;
        self.told.push(Report { kind: kind.to_owned(), id, body: body.clone() });
        Ok((200, json!({})))
    }
}
