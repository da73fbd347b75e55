//! Spans arrive at a real receiver. A process has one subscriber, so there is one test.

use release_telemetry::{TraceContext, Traces};
use release_testing::otlp::{Span, TraceReceiver};
use tracing::{Instrument as _, info_span};

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_as_a_tree_and_go_on_from_those_of_others() {
    let receiver = TraceReceiver::start().await;
    let endpoint = receiver.url().to_owned();
    let variable = move |name: &str| match name {
        "JAEGER_ENDPOINT" => Some(format!("{endpoint}/v1/traces")),
        "JAEGER_TAGS" => Some("team=aura".to_owned()),
        _ => None,
    };
    let traces = Traces::read("release-manager", variable).unwrap();
    traces.set_global();
    assert_eq!(TraceContext::current(), None, "outside of any span");

    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let outer = info_span!(target: "release_flow", "outer", service = "svc");
    TraceContext::from_w3c(caller).unwrap().adopt(&outer);
    let told = async {
        info_span!(target: "release_git", "inner").in_scope(|| ());
        tracing::trace_span!(target: "release_git", "too fine").in_scope(|| ());
        info_span!(target: "hyper", "not ours").in_scope(|| ());
        TraceContext::current().unwrap().to_string()
    };
    let told = told.instrument(outer).await;
    // Hands over what waits.
    tokio::task::spawn_blocking(move || drop(traces)).await.unwrap();

    let spans = receiver.wait_for("outer span", |spans| spans.len() >= 2).await;
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (outer, inner): (&Span, &Span) = (of("outer"), of("inner"));
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert_eq!((outer.service.as_str(), outer.parent.as_str()), ("release-manager", "00f067aa0ba902b7"));
    assert_eq!(outer.attributes["service"], "svc");
    assert_eq!((&inner.trace, &inner.parent), (&outer.trace, &outer.id));
    assert_eq!(told, format!("00-{}-{}-01", outer.trace, outer.id));
    assert!(told.starts_with(&caller[..35]), "{told}");
}
