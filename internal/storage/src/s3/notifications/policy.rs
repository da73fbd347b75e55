//! The policy of the queue: who may send to it. Pure.

use serde_json::{Map, Value, json};

/// Ours among the statements of a policy.
const STATEMENT: &str = "release-manager-bucket-notifications";

/// The policy with a statement that lets exactly this bucket send, or `None` when it is there
/// already. Other statements stay. An error: the policy is no JSON object.
pub(super) fn allowing(policy: Option<&str>, queue_arn: &str, bucket: &str) -> Result<Option<String>, ()> {
    let mut policy: Map<String, Value> = match policy {
        None | Some("") => Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]),
        Some(policy) => serde_json::from_str(policy).map_err(drop)?,
    };
    let mut statements = match policy.remove("Statement") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(statements)) => statements,
        // A single one may stand for itself.
        Some(statement) => vec![statement],
    };
    let ours = statement(queue_arn, bucket);
    if statements.contains(&ours) {
        return Ok(None);
    }
    statements.retain(|statement| statement["Sid"] != STATEMENT);
    statements.push(ours);
    policy.insert("Statement".to_owned(), Value::Array(statements));
    Ok(Some(Value::Object(policy).to_string()))
}

fn statement(queue_arn: &str, bucket: &str) -> Value {
    // arn:<partition>:sqs:<region>:<account>:<name>
    let parts: Vec<&str> = queue_arn.split(':').collect();
    let partition = parts.get(1).unwrap_or(&"aws");
    let mut condition = json!({"ArnEquals": {"aws:SourceArn": format!("arn:{partition}:s3:::{bucket}")}});
    if let Some(account) = parts.get(4).filter(|account| !account.is_empty()) {
        // The names of buckets are given out again after their deletion, to anybody.
        condition["StringEquals"] = json!({"aws:SourceAccount": account});
    }
    json!({
        "Sid": STATEMENT,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": condition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:acme-s3-bucket-notifications";
    const OURS: &str = r#"{"Sid":"release-manager-bucket-notifications","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:eu-west-1:123456789012:acme-s3-bucket-notifications","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:s3:::acme"},"StringEquals":{"aws:SourceAccount":"123456789012"}}}"#;

    #[test]
    fn exactly_this_bucket_may_send_and_others_keep_what_they_may() {
        let others = r#"{"Sid":"monitoring","Effect":"Allow"}"#;
        let older = r#"{"Sid":"release-manager-bucket-notifications","Effect":"Allow","Principal":"*"}"#;
        let with = |statements: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        for (before, after) in [
            (None, Some(with(OURS))),
            (Some(String::new()), Some(with(OURS))),
            (Some(with(OURS)), None),
            (Some(with(&format!("{OURS},{others}"))), None),
            (Some(with(others)), Some(with(&format!("{others},{OURS}")))),
            (Some(with(&format!("{older},{others}"))), Some(with(&format!("{others},{OURS}")))),
            (
                Some(format!(r#"{{"Version":"2012-10-17","Id":"x","Statement":{others}}}"#)),
                Some(format!(r#"{{"Version":"2012-10-17","Id":"x","Statement":[{others},{OURS}]}}"#)),
            ),
        ] {
            assert_eq!(allowing(before.as_deref(), QUEUE, "acme"), Ok(after), "{before:?}");
        }
        assert_eq!(allowing(Some("[]"), QUEUE, "acme"), Err(()));
    }

    #[test]
    fn a_cloud_of_its_own_has_names_of_its_own() {
        let policy = allowing(None, "arn:aws-cn:sqs:cn-north-1:1:q", "acme").unwrap().unwrap();
        assert!(policy.contains(r#""aws:SourceArn":"arn:aws-cn:s3:::acme""#), "{policy}");
    }
}
