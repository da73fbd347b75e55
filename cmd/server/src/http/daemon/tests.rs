use axum::http::HeaderValue;

use super::*;

#[test]
fn an_id_is_the_daemons_or_a_new_one() {
    let id = |value: Option<&str>| {
        let mut fields = Fields::new(Map::new());
        let headers = value
            .map(|value| (IDEMPOTENCY_KEY_HEADER.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
        event_id(&mut fields, &headers.into_iter().collect())
    };
    let given = "018f4e6e-0000-7000-8000-000000000000";
    assert_eq!(id(Some(given)), Ok(given.parse().unwrap()));
    assert_ne!(id(None).unwrap(), id(None).unwrap());
    for bad in ["", "1", "not-a-uuid"] {
        assert!(id(Some(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn errors_are_in_the_words_of_programs_and_bounded() {
    let read = |errors: &Value| {
        let mut fields = Fields::new(Map::from_iter([("errors".to_owned(), errors.clone())]));
        super::errors(&mut fields, |error| (error("name"), error("message")))
    };
    let words = "panic:\n\tat main\u{1b}[0m";
    let some = serde_json::json!([{"name": "api", "message": words, "type": 1}, {}]);
    assert_eq!(read(&some), Ok(vec![("api".into(), words.into()), (String::new(), String::new())]));
    assert_eq!(read(&Value::Null), Ok(Vec::new()));
    let long = serde_json::json!([{"message": "æ".repeat(MAX_MESSAGE_BYTES)}]);
    assert_eq!(read(&long).unwrap()[0].1.len(), MAX_MESSAGE_BYTES);
    let many = Value::Array(vec![Value::Object(Map::new()); MAX_ERRORS + 1]);
    assert_eq!(read(&many).unwrap().len(), MAX_ERRORS);
    for bad in [serde_json::json!({}), serde_json::json!(["text"]), serde_json::json!(1)] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}
