use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Api, Behaviour, Seen, Server, only_fields, text};

/// A GitHub with all repositories of the owner `acme`.
#[derive(Debug)]
pub struct Github(Server<Refs>);

/// `repository refs/tags/name` → sha
#[derive(Default)]
struct Refs(BTreeMap<String, String>);

impl Github {
    pub const OWNER: &str = "acme";

    pub async fn start() -> Self {
        Self(Server::start(Refs::default()).await)
    }

    /// The API's URL, as it is on a GitHub Enterprise.
    pub fn url(&self) -> String {
        format!("{}/api/v3", self.0.url())
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.0.behave(behaviour);
    }

    /// How many requests arrived, accepted or not.
    pub fn attempts(&self) -> usize {
        self.0.attempts()
    }

    /// The commit of a tag. Panics when a request was not as documented.
    pub fn tag(&self, repository: &str, name: &str) -> Option<String> {
        self.0.read(|refs| refs.0.get(&format!("{repository} refs/tags/{name}")).cloned())
    }
}

impl Api for Refs {
    fn handle(&mut self, request: &Seen) -> Result<(u16, Value), String> {
        let Seen { method, path, body, .. } = request;
        let unknown = || format!("{method} {path} is not documented");
        let path = path.strip_prefix("/api/v3/repos/acme/").ok_or_else(unknown)?;
        let (repository, path) = path.split_once('/').ok_or_else(unknown)?;
        match (method.as_str(), path) {
            ("POST", "git/refs") => self.create(repository, body),
            ("PATCH", path) => self.update(repository, path.strip_prefix("git/").ok_or_else(unknown)?, body),
            _ => Err(unknown()),
        }
    }
}

impl Refs {
    fn create(&mut self, repository: &str, body: &Value) -> Result<(u16, Value), String> {
        only_fields(body, &["ref", "sha"])?;
        let (name, sha) = (text(body, "ref")?, text(body, "sha")?);
        if !name.starts_with("refs/") {
            return Err(format!("'{name}' must be fully qualified"));
        }
        let key = format!("{repository} {name}");
        if self.0.contains_key(&key) {
            return Ok((422, json!({ "message": "Reference already exists" })));
        }
        self.0.insert(key, sha);
        Ok((201, json!({ "ref": name })))
    }

    fn update(&mut self, repository: &str, name: &str, body: &Value) -> Result<(u16, Value), String> {
        only_fields(body, &["sha", "force"])?;
        let sha = text(body, "sha")?;
        let Some(known) = self.0.get_mut(&format!("{repository} {name}")) else {
            return Ok((422, json!({ "message": "Reference does not exist" })));
        };
        if body["force"] != true && *known != sha {
            return Ok((422, json!({ "message": "Update is not a fast forward" })));
        }
        *known = sha;
        Ok((200, json!({ "ref": name })))
    }
}
