//! One release is one trace, through all that it passes.

use release_testing::{
    fake::Slack,
    origin::Origin,
    otlp::{Span, TraceReceiver},
};

use crate::{
    harness::{Server, Setup},
    walkthrough::Desk,
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Else spans leave every five seconds.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// The names from the first span of the trace down to this one.
fn ancestry(spans: &[Span], span: &Span) -> String {
    match spans.iter().find(|parent| parent.id == span.parent) {
        Some(parent) => format!("{} > {}", ancestry(spans, parent), span.name),
        None => span.name.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_one_trace_from_hamctl_to_the_push_and_the_notification() {
    let receiver = TraceReceiver::start().await;
    let slack = Slack::start().await;
    let slack_url = slack.url();
    let origin = Origin::new();
    let setup = Setup {
        flags: &["--slack-api-url", &slack_url, "--slack-token", release_testing::fake::TOKEN],
        environment: &[(ENDPOINT, receiver.url()), SOON],
        ..Setup::default()
    };
    let server = Server::start_with(&origin, &setup).await;
    server.push_new("payments", "master-1").await;
    let desk = Desk::at(&server).with(ENDPOINT, receiver.url());
    desk.types("hamctl release --service payments --artifact master-1 --env dev --wait").await.ok();

    let is_there = |spans: &[Span], path: &str| spans.iter().any(|span| ancestry(spans, span) == path);
    let release = "hamctl release > POST /release > POST /release";
    let expected = [
        "hamctl release".to_owned(),
        release.to_owned(),
        format!("{release} > publish"),
        format!("{release} > release.artifactId"),
        format!("{release} > release.artifactId > read artifact"),
        format!("{release} > release.artifactId > write"),
        format!("{release} > release.artifactId > write > batch > push"),
        format!("{release} > release.artifactId > announce"),
        format!("{release} > release.artifactId > notify"),
    ];
    let spans = receiver
        .wait_for(&format!("tree of {expected:#?}"), |spans| {
            expected.iter().all(|path| is_there(spans, path))
        })
        .await;

    let root = spans.iter().find(|span| span.name == "hamctl release").unwrap();
    let of_release = |span: &&Span| ancestry(&spans, span).starts_with(release);
    for span in spans.iter().filter(of_release) {
        assert_eq!(span.trace, root.trace, "{span:?}");
        let is_call = span.parent == root.id;
        assert_eq!(span.service, if is_call { "hamctl" } else { "release-manager" }, "{span:?}");
    }
    let request = spans.iter().find(|span| ancestry(&spans, span) == release).unwrap();
    assert_eq!(request.attributes["service"], "payments");
    assert!(request.attributes.contains_key("requestId"), "{request:?}");
    let shown = format!("{spans:?}");
    assert!(!shown.contains(&server.token(crate::harness::Audience::Hamctl)), "a token is in a span");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_delays_nothing() {
    let origin = Origin::new();
    let nobody = "http://127.0.0.1:9";
    let setup = Setup { environment: &[(ENDPOINT, nobody), SOON], ..Setup::default() };
    let mut server = Server::start_with(&origin, &setup).await;
    server.push_new("payments", "master-1").await;
    let desk = Desk::at(&server).with(ENDPOINT, nobody);
    desk.types("hamctl release --service payments --artifact master-1 --env dev --wait").await.ok();
    assert_eq!(desk.running("payments").await, "dev=master-1");
    assert!(server.terminate().await.success());
}
