//! Slack is away, the server is killed, and everybody hears of the release once all the same.

use release_testing::{
    fake::{self, Behaviour, Grafana, Slack},
    origin::Origin,
};

use crate::harness::{LONG, Order, Server, Setup, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_tells_everybody_once_when_slack_is_back() {
    let (origin, slack, grafana) = (Origin::new(), Slack::start().await, Grafana::start().await);
    let flags = [
        format!("--slack-token={}", fake::TOKEN),
        format!("--slack-api-url={}", slack.url()),
        format!("--grafana-annotations=dev={}={}", fake::TOKEN, grafana.url()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut server = Server::start_with(&origin, &Setup { flags: &flags, ..Setup::default() }).await;
    slack.behave(Behaviour::Fails(503));
    server.push_new("api", "master-1").await;
    server.accepted(&Order::new("api", "dev", "master-1")).await;
    server.drained().await;
    // Killed before the server has noted that Grafana took it, it would rightly try again.
    let noted = "release_manager_notifications_pending{notifier=\"grafana\"} 0";
    until("the annotation", LONG, async || metrics(&server).await.contains(noted).then_some(())).await;
    assert_eq!(grafana.annotations().len(), 1);
    until("an attempt to post", LONG, async || (slack.attempts() > 0).then_some(())).await;

    server.kill();
    slack.behave(Behaviour::Works);
    server.restart().await;
    until("the messages", LONG, async || (slack.messages().len() >= 2).then_some(())).await;
    assert_eq!(server.terminate().await.code(), Some(0));
    assert_eq!(slack.recipients(), ["#releases-dev", "jane@example.com"]);
    assert_eq!(grafana.annotations().len(), 1);

    let log = server.log();
    assert!(!log.contains(fake::TOKEN));
    let line = log.lines().find(|line| line.contains("Release [dev]: ")).expect("the release is logged");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["type"], "release");
    assert_eq!(line["commit-author-email"], "jane@example.com");
}

async fn metrics(server: &Server) -> String {
    let answer = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    answer.text().await.expect("text")
}
