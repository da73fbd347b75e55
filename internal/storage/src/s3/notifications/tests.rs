use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::JoinHandle,
};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use serde_json::json;

use super::*;

/// Takes one request and gives back what it said.
fn queue() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 64 << 10];
        let mut length = 0;
        while !request[..length].ends_with(b"]}") && !request[..length].ends_with(b"\"}") {
            length += stream.read(&mut request[length..]).unwrap();
        }
        let answer = "{\"Successful\":[],\"Failed\":[]}";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all((head + answer).as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (url, requests)
}

fn notifications(url: &str) -> Notifications {
    let credentials = Credentials::builder().access_key_id("a").secret_access_key("b").provider_name("test");
    let sqs = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("x"))
        .endpoint_url(url)
        .credentials_provider(credentials.build());
    let s3 = aws_sdk_s3::Config::builder().behavior_version(BehaviorVersion::latest());
    Notifications::new(
        aws_sdk_s3::Client::from_conf(s3.build()),
        aws_sdk_sqs::Client::from_conf(sqs.build()),
        "bucket".parse().unwrap(),
    )
}

fn message(artifact_id: &str) -> Message {
    let about = json!({"bucket": {"name": "bucket"}, "object": {"key": format!("svc/{artifact_id}")}});
    let body = json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": about}]}).to_string();
    Message::builder().body(body).receipt_handle(format!("receipt-of-{artifact_id}")).build()
}

#[tokio::test]
async fn only_what_was_handed_over_is_deleted() {
    let (url, request) = queue();
    let hand_over: Box<HandOver> = Box::new(|stored| {
        let accepted = stored.artifact_id.as_str() != "refused";
        Box::pin(async move { if accepted { Ok(()) } else { Err("the queue is full".to_owned()) } })
    });
    let messages = vec![message("one"), message("refused"), message("two")];
    let handled = notifications(&url).handle(&url, messages, &hand_over).await;
    assert!(handled.unwrap_err().contains("the queue is full"));
    let request = request.join().unwrap();
    assert!(request.contains("receipt-of-one") && request.contains("receipt-of-two"), "{request}");
    assert!(!request.contains("receipt-of-refused"), "{request}");
}
