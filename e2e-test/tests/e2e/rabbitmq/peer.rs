//! Another program at the same RabbitMQ: Python's pika, with none of our code.

use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command as TokioCommand},
    time::timeout,
};

use crate::harness::LONG;

pub(super) struct Peer {
    port: u16,
    virtual_host: String,
}

impl Peer {
    pub(super) fn new(port: u16, virtual_host: &str) -> Self {
        Self { port, virtual_host: virtual_host.to_owned() }
    }

    fn arguments(&self, command: &[&str]) -> Vec<String> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/rabbitmq/peer.py");
        let ours = [script.display().to_string(), self.port.to_string(), self.virtual_host.clone()];
        ours.into_iter().chain(command.iter().map(ToString::to_string)).collect()
    }

    /// Publishes messages as `{"routing_key": …, "properties": {…}, "body": "…"}`; RabbitMQ has stored
    /// them when this returns.
    pub(super) async fn publish(&self, messages: &[Value]) {
        let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
        self.run(&["publish"], lines.join("\n")).await;
    }

    /// Takes all messages out of a queue.
    pub(super) async fn take(&self, queue: &str) -> Vec<Value> {
        let output = self.run(&["take", queue], String::new()).await;
        let text = String::from_utf8(output.stdout).expect("JSON");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Begins to listen to everything.
    pub(super) async fn listen(&self) -> Listener {
        let mut command = TokioCommand::new(python());
        command
            .args(self.arguments(&["listen"]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("Python");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut listener = Listener { _child: child, lines };
        assert_eq!(listener.line().await, "listening");
        listener
    }

    async fn run(&self, command: &[&str], input: String) -> Output {
        let arguments = self.arguments(command);
        let running = tokio::task::spawn_blocking(move || {
            let child = Command::new(python())
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            feed(child.expect("Python"), &input)
        });
        let output = running.await.expect("no panic");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

fn feed(mut child: Child, input: &str) -> Output {
    use std::io::Write as _;
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("Python reads");
    child.wait_with_output().expect("Python ends")
}

/// The interpreter that has pika.
fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools/pika/bin/python");
    assert!(python.exists(), "{} is missing; run `.ci/install test` first", python.display());
    python
}

/// What is published from now on.
pub(super) struct Listener {
    _child: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    pub(super) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("JSON")
    }

    async fn line(&mut self) -> String {
        let line = timeout(LONG, self.lines.next_line()).await.expect("a message in time");
        line.expect("it is UTF-8").expect("the other program lives")
    }
}

/// A message as the field's implementation publishes it.
pub(super) fn message(kind: &str, id: &str, body: &str) -> Value {
    json!({
        "routing_key": format!("#.{kind}"),
        "properties": {
            "type": kind,
            "message_id": id,
            "correlation_id": "request-1",
            "content_type": "application/json",
            "timestamp": 1_767_323_045,
        },
        "body": body,
    })
}
