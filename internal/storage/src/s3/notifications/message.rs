//! The JSON of a notification. Pure.

use release_core::Name;
use serde::Deserialize;
use serde_json::Value;

use super::StoredArtifact;
use crate::entry::shown;

/// What one message told of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) artifacts: Vec<StoredArtifact>,
    /// Why something is no new artifact.
    pub(super) ignored: Vec<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "Records")]
    records: Option<Vec<Value>>,
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    #[serde(default)]
    e_tag: String,
}

/// Reads whatever it can; a bad record does not hide a good one.
pub(super) fn read(body: &str, bucket: &str) -> Contents {
    let mut contents = Contents::default();
    match serde_json::from_str(body) {
        Ok(Body { records: Some(records), .. }) => {
            for value in records {
                match artifact(value, bucket) {
                    Ok(artifact) => contents.artifacts.push(artifact),
                    Err(reason) => contents.ignored.push(reason),
                }
            }
        }
        // What S3 sends when the notification is set up.
        Ok(Body { event: Some(event), .. }) if event == "s3:TestEvent" => {}
        Ok(_) => contents.ignored.push(format!("it has no records: '{}'", shown(body))),
        Err(error) => contents.ignored.push(format!("it is no JSON of S3 ({error}): '{}'", shown(body))),
    }
    contents
}

fn artifact(record: Value, bucket: &str) -> Result<StoredArtifact, String> {
    let record = Record::deserialize(record).map_err(|error| format!("a record is none of S3: {error}"))?;
    let S3 { bucket: of_bucket, object } = record.s3;
    if of_bucket.name != bucket {
        return Err(format!("it is of bucket '{}'", shown(&of_bucket.name)));
    }
    let key = decode(&object.key);
    // Some stores put "s3:" in front of it.
    if !record.event_name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Err(format!("'{}' of '{}' stores nothing", shown(&record.event_name), shown(&key)));
    }
    let (service, id) = key.split_once('/').ok_or_else(|| no_artifact(&key))?;
    let name = |part| Name::new(part).map_err(|_| no_artifact(&key));
    Ok(StoredArtifact { service: name(service)?, artifact_id: name(id)?, etag: object.e_tag })
}

fn no_artifact(key: &str) -> String {
    format!("the key '{}' is not <service>/<artifact-id>", shown(key))
}

/// Keys arrive as in the query of a URL: a space is `+` or `%20`.
fn decode(key: &str) -> String {
    let one_value = key.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(one_value.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(event: &str, bucket: &str, key: &str) -> Value {
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event, "s3": {
            "configurationId": "x", "bucket": {"name": bucket, "arn": "arn:aws:s3:::b"},
            "object": {"key": key, "size": 7, "eTag": "abc", "sequencer": "0055AED6DCD90281E5"}}})
    }

    fn artifacts(contents: &Contents) -> Vec<String> {
        contents.artifacts.iter().map(|found| format!("{}/{}", found.service, found.artifact_id)).collect()
    }

    #[test]
    fn a_record_is_a_new_artifact() {
        for (key, expected) in [
            ("svc/master-1-2", "svc/master-1-2"),
            ("S%C3%B8ren%27s/feature_a%2Bb-1-2", "Søren's/feature_a+b-1-2"),
            ("svc/a=b&c", "svc/a=b&c"),
        ] {
            let body = json!({"Records": [record("ObjectCreated:Put", "bucket", key)]}).to_string();
            let contents = read(&body, "bucket");
            assert_eq!(artifacts(&contents), [expected], "{contents:?}");
            assert_eq!(contents.artifacts[0].etag, "abc");
            assert!(contents.ignored.is_empty());
        }
    }

    #[test]
    fn what_is_no_artifact_is_passed_over_and_hides_no_other() {
        let good = record("ObjectCreated:CompleteMultipartUpload", "bucket", "svc/id");
        for (bad, reason) in [
            (record("ObjectCreated:Put", "bucket", "readme.txt"), "'readme.txt' is not"),
            (record("ObjectCreated:Put", "bucket", "a/b/c"), "'a/b/c' is not"),
            (record("ObjectCreated:Put", "bucket", "svc/"), "'svc/' is not"),
            (record("ObjectCreated:Put", "bucket", "svc/a+b"), "'svc/a b' is not"),
            (record("ObjectCreated:Put", "bucket", "svc/a%20b"), "'svc/a b' is not"),
            (record("ObjectCreated:Put", "bucket", "../id"), "'../id' is not"),
            (record("ObjectCreated:Put", "other", "svc/id"), "of bucket 'other'"),
            (record("ObjectRemoved:Delete", "bucket", "svc/id"), "stores nothing"),
            (json!("text"), "none of S3"),
            (json!({"eventName": 7}), "none of S3"),
        ] {
            let contents = read(&json!({"Records": [bad, good]}).to_string(), "bucket");
            assert_eq!(artifacts(&contents), ["svc/id"], "{bad}");
            assert!(contents.ignored[0].contains(reason), "{:?}", contents.ignored);
        }
    }

    #[test]
    fn poison_is_told_of_in_one_short_line() {
        let huge = format!("{{\"x\": \"{}\"}}", "y\\n".repeat(100_000));
        for poison in ["", "{", "[]", "null", "{\"Records\": 7}", "\u{1b}[31m", huge.as_str()] {
            let contents = read(poison, "bucket");
            assert!(contents.artifacts.is_empty(), "{poison:.50}");
            let [reason] = &contents.ignored[..] else { panic!("{poison:.50}: {contents:?}") };
            assert!(reason.len() < 2_000 && !reason.contains(['\n', '\u{1b}']), "{reason}");
        }
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"bucket"}"#;
        assert_eq!(read(test, "bucket"), Contents::default());
    }
}
