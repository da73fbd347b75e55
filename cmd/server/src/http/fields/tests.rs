use super::*;

/// What the message says about the fields that `read` reads of `body`.
fn problems(body: &str, read: impl FnOnce(&mut Fields)) -> Vec<String> {
    let mut fields = Fields::from_json(body.as_bytes()).unwrap();
    read(&mut fields);
    fields.problems
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let deep = "[".repeat(100_000);
    for (body, sentence) in [
        ("", "no body"),
        (" \n\t", "no body"),
        ("{", "not valid JSON"),
        ("nonsense", "not valid JSON"),
        ("{}{}", "not valid JSON"),
        ("\u{0}", "not valid JSON"),
        (&deep, "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("\"text\"", "must be a JSON object"),
    ] {
        let message = Fields::from_json(body.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(sentence), "{body:.20}: {message}");
    }
    assert!(Fields::from_json(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn a_name_is_checked_and_the_problem_begins_with_the_field() {
    let long = format!("{:?}", "x".repeat(256));
    let huge = format!("{:?}", "x".repeat(1 << 20));
    for (value, problem) in [
        ("null", "service must be given"),
        (r#""""#, "service must be given"),
        ("7", "service must be a text, not a number"),
        ("true", "service must be a text, not a boolean"),
        ("[]", "service must be a text, not a list"),
        ("{}", "service must be a text, not an object"),
        (r#""..""#, "service must not be '.' or '..'"),
        (r#""../x""#, "service must not contain '/' or '\\'"),
        (r#""/etc/passwd""#, "service must not contain '/' or '\\'"),
        (r#"".git""#, "service must not start with '.git' or be a spelling of it"),
        (r#""a b""#, "service must not contain white space"),
        (r#""a\u0000""#, "service must not contain control characters"),
        (r#""a\nb""#, "service must not contain control characters"),
        (&long, "service must not be longer than 255 bytes"),
        (&huge, "service must not be longer than 1024 bytes"),
    ] {
        let body = format!(r#"{{"service":{value}}}"#);
        let found = problems(&body, |fields| assert_eq!(fields.name("service"), Err(Noted)));
        assert_eq!(found, [problem], "{value:.40}");
    }
    assert_eq!(problems("{}", |fields| assert!(fields.name("service").is_err())), ["service must be given"]);
    let found = problems(r#"{"service":"Søren-日本"}"#, |fields| {
        assert_eq!(fields.name("service").unwrap().as_str(), "Søren-日本");
    });
    assert!(found.is_empty());
}

#[test]
fn an_optional_field_may_be_missing_but_not_wrong() {
    let found = problems(r#"{"empty":"","name":"Jane","bad":1,"path":"a/b"}"#, |fields| {
        assert_eq!(fields.optional_text("missing"), Ok(String::new()));
        assert_eq!(fields.optional_text("name"), Ok("Jane".to_owned()));
        assert_eq!(fields.optional_name("missing"), Ok(None));
        assert_eq!(fields.optional_name("empty"), Ok(None));
        assert_eq!(fields.optional_text("bad"), Err(Noted));
        assert_eq!(fields.optional_name("path"), Err(Noted));
    });
    assert_eq!(found, ["bad must be a text, not a number", "path must not contain '/' or '\\'"]);
}

#[test]
fn a_count_is_a_positive_number_of_bounded_size() {
    let count = |query: &str| address_fields(std::iter::empty(), query).count("count");
    for (query, expected) in [("", 1), ("count=", 1), ("count=1", 1), ("count=1000", 1000)] {
        assert_eq!(count(query), Ok(expected), "{query}");
    }
    for query in ["0", "-1", "1.5", "1e3", "ten", "1001", "99999999999999999999999", "%00", "١"] {
        assert_eq!(count(&format!("count={query}")), Err(Noted), "{query}");
    }
}

#[test]
fn every_kind_of_intent_is_read() {
    for (intent, expected) in [
        (r#"{"type":"ReleaseArtifact"}"#, Intent::ReleaseArtifact),
        (r#"{"type":"AutoRelease","releaseBranch":{},"promote":{},"rollback":{}}"#, Intent::AutoRelease),
        (
            r#"{"type":"ReleaseBranch","releaseBranch":{"branch":"feature/x"}}"#,
            Intent::ReleaseBranch { branch: "feature/x".into() },
        ),
        (
            r#"{"type":"Promote","promote":{"fromEnvironment":"dev"}}"#,
            Intent::Promote { from_environment: "dev".into() },
        ),
        (r#"{"type":"Promote","promote":null}"#, Intent::Promote { from_environment: String::new() }),
        (
            r#"{"type":"Rollback","rollback":{"previousArtifactId":"master-1-2"}}"#,
            Intent::Rollback { previous_artifact_id: "master-1-2".into() },
        ),
    ] {
        let found = problems(&format!(r#"{{"intent":{intent}}}"#), |fields| {
            assert_eq!(fields.intent("intent"), Ok(expected), "{intent}");
        });
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_wrong_intent_names_the_part_that_is_wrong() {
    for (intent, problem) in [
        ("null", "intent.type must be given"),
        ("{}", "intent.type must be given"),
        ("7", "intent must be an object"),
        (r#"{"type":7}"#, "intent.type must be a text, not a number"),
        (
            r#"{"type":"Nonsense"}"#,
            "intent.type must be one of ReleaseArtifact, ReleaseBranch, Promote, Rollback, AutoRelease",
        ),
        (r#"{"type":"Promote","promote":"dev"}"#, "intent.promote must be an object"),
        (
            r#"{"type":"Promote","promote":{"fromEnvironment":"../dev"}}"#,
            "intent.promote.fromEnvironment must not contain '/' or '\\'",
        ),
        (
            r#"{"type":"ReleaseBranch","releaseBranch":{"branch":"a\nService: other"}}"#,
            "intent.releaseBranch.branch must not contain control characters",
        ),
    ] {
        let found = problems(&format!(r#"{{"intent":{intent}}}"#), |fields| {
            assert_eq!(fields.intent("intent"), Err(Noted));
        });
        assert_eq!(found, [problem]);
    }
}

#[test]
fn an_address_has_the_fields_of_its_path_and_query() {
    let mut fields =
        address_fields([("service", "svc")].into_iter(), "service=other&branch=feature%2Fx&branch=y&n=1");
    assert_eq!(fields.name("service").unwrap().as_str(), "svc");
    assert_eq!(fields.text("branch").unwrap(), "y");
    assert_eq!(fields.problems, ["branch must be given once"]);
}

#[test]
fn one_message_names_all_bad_fields() {
    let mut fields = Fields::from_json(br#"{"b":1}"#).unwrap();
    let (a, b) = (fields.name("a"), fields.name("b"));
    let error = fields.finish(|| Ok((a?, b?))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The request is not valid: a must be given; b must be a text, not a number."
    );
}

#[test]
fn a_message_stays_short_however_much_is_wrong() {
    let mut fields = Fields::from_json(b"{}").unwrap();
    for number in 0..1000 {
        fields.refuse(&format!("field{number}"), "must be given");
    }
    let message = fields.finish(|| Ok(())).unwrap_err().to_string();
    assert!(message.ends_with("; and 980 more."), "{message}");
    assert_eq!(quoted(&"é\n".repeat(1000)).chars().count(), MAX_QUOTED_CHARS + 1);
}
