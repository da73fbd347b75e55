//! What daemons tell, as far as its form goes.

use release_api::IDEMPOTENCY_KEY_HEADER;

use super::*;

#[tokio::test]
async fn what_is_wrong_with_a_daemons_report_is_named_at_once() {
    let bad =
        r#"{"podName":7,"namespace":"a/b","errors":"x","artifactId":"","environment":"..","authorEmail":[]}"#;
    let mut wrong = request(Method::POST, "/webhook/daemon/k8s/error", "for-daemon", bad);
    wrong.headers_mut().insert(IDEMPOTENCY_KEY_HEADER, "no-uuid".parse().unwrap());
    let message = send(app(state()), wrong).await.message();
    for problem in [
        "header idempotency-key must be a UUID",
        "podName must be a text, not a number",
        "namespace must not contain '/'",
        "errors must be a list of objects",
        "artifactId must be given",
        "environment must not be '.' or '..'",
        "authorEmail must be a text, not a list",
    ] {
        assert!(message.contains(problem), "{problem} is not in: {message}");
    }
    let bad = SUCCEEDED.replace("\"replicas\":2", "\"replicas\":2.5");
    let answer =
        send(app(state()), request(Method::POST, "/webhook/daemon/k8s/deploy", "for-daemon", bad)).await;
    assert!(answer.message().contains("replicas must be a whole number"), "{}", answer.body);
}

#[tokio::test]
async fn a_state_may_be_long_and_a_bad_one_is_refused_with_a_sentence() {
    let padding = "x".repeat(2 << 20);
    let long = STATE.replacen('{', &format!("{{\"future\":\"{padding}\","), 1);
    let too_long = format!("\"{}\"", "x".repeat(16 << 20));
    for (body, status, sentence) in [
        (long, 503, "The server is starting"),
        (too_long, 413, "longer than 16777216 bytes"),
        (String::new(), 400, "no body"),
        ("nonsense".into(), 400, "not valid JSON"),
        ("{}".into(), 400, "the state has a missing field `environment`"),
        (STATE.replace("\"dev\"", "\"../x\""), 400, "environment must not contain '/'"),
    ] {
        let answer =
            send(app(state()), request(Method::POST, "/api/v1/cluster-state", "for-daemon", body)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.message().contains(sentence), "{}", answer.body);
    }
}
