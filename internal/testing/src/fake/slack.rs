use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Api, Behaviour, Seen, Server, only_fields, text};

/// A Slack workspace in which everybody at `@example.com` is.
#[derive(Debug)]
pub struct Slack(Server<Workspace>);

/// A message in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// A channel's name with `#`, or the e-mail address of somebody.
    pub to: String,
    pub ts: String,
    pub attachment: Value,
    pub updates: usize,
}

#[derive(Default)]
struct Workspace {
    messages: Vec<Message>,
    missing_channels: BTreeSet<String>,
}

const PEOPLE: &str = "@example.com";
const COLOURS: [&str; 3] = ["#73BF69", "#FADE2A", "#F2495C"];

impl Slack {
    pub async fn start() -> Self {
        Self(Server::start(Workspace::default()).await)
    }

    /// The base URL of the Web API.
    pub fn url(&self) -> String {
        format!("{}/api/", self.0.url())
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.0.behave(behaviour);
    }

    /// How many requests arrived, accepted or not.
    pub fn attempts(&self) -> usize {
        self.0.attempts()
    }

    pub fn remove_channel(&self, name: &str) {
        let mut log = self.0.shared.state.lock().expect("no panic while held");
        log.api.missing_channels.insert(name.to_owned());
    }

    /// All messages. Panics when a request was not as documented.
    pub fn messages(&self) -> Vec<Message> {
        self.0.read(|workspace| workspace.messages.clone())
    }

    /// Where the messages are, in the order in which they came.
    pub fn recipients(&self) -> Vec<String> {
        self.messages().into_iter().map(|message| message.to).collect()
    }
}

impl Api for Workspace {
    fn handle(&mut self, request: &Seen) -> Result<(u16, Value), String> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let answer = match (request.method.as_str(), path) {
            ("POST", "/api/chat.postMessage") => self.post(&request.body)?,
            ("POST", "/api/chat.update") => self.update(&request.body)?,
            ("GET", "/api/users.lookupByEmail") => look_up(query)?,
            (method, path) => return Err(format!("{method} {path} is no method of the Web API")),
        };
        Ok((200, answer))
    }
}

impl Workspace {
    fn post(&mut self, body: &Value) -> Result<Value, String> {
        only_fields(body, &["channel", "attachments"])?;
        let channel = text(body, "channel")?;
        let attachment = attachment(body)?;
        if self.missing_channels.contains(&channel) {
            return Ok(json!({ "ok": false, "error": "channel_not_found" }));
        }
        let to = match channel.strip_prefix("U-") {
            Some(email) => email.to_owned(),
            None if channel.starts_with('#') => channel.clone(),
            None => return Err(format!("'{channel}' is neither a channel nor a user")),
        };
        let ts = format!("{}.000100", 1_700_000_000 + self.messages.len());
        let answer = json!({ "ok": true, "channel": id_of(&to), "ts": ts, "message": body });
        self.messages.push(Message { to, ts, attachment, updates: 0 });
        Ok(answer)
    }

    fn update(&mut self, body: &Value) -> Result<Value, String> {
        only_fields(body, &["channel", "ts", "attachments"])?;
        let (channel, ts, attachment) = (text(body, "channel")?, text(body, "ts")?, attachment(body)?);
        let is_it = |message: &&mut Message| message.ts == ts && id_of(&message.to) == channel;
        let Some(message) = self.messages.iter_mut().find(is_it) else {
            return Ok(json!({ "ok": false, "error": "message_not_found" }));
        };
        message.attachment = attachment;
        message.updates += 1;
        Ok(json!({ "ok": true, "channel": channel, "ts": ts, "text": "" }))
    }
}

fn look_up(query: &str) -> Result<Value, String> {
    let email = query.strip_prefix("email=").ok_or_else(|| format!("no e-mail address in '{query}'"))?;
    let email = email.replace("%40", "@");
    Ok(if email.ends_with(PEOPLE) {
        json!({ "ok": true, "user": { "id": format!("U-{email}"), "name": email } })
    } else {
        json!({ "ok": false, "error": "users_not_found" })
    })
}

fn attachment(body: &Value) -> Result<Value, String> {
    let Some([attachment]) = body["attachments"].as_array().map(Vec::as_slice) else {
        return Err(format!("one attachment is expected in {body}"));
    };
    only_fields(attachment, &["color", "title", "title_link", "text", "fallback"])?;
    for field in ["title", "text", "fallback"] {
        text(attachment, field)?;
    }
    let colour = text(attachment, "color")?;
    if !COLOURS.contains(&colour.as_str()) {
        return Err(format!("'{colour}' is none of the colours"));
    }
    Ok(attachment.clone())
}

/// Updates take a channel's id; its name is not good enough.
fn id_of(to: &str) -> String {
    format!("C-{}", to.trim_start_matches('#'))
}
