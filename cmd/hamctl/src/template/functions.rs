//! The functions that templates of the field use.

use chrono::{DateTime, FixedOffset, Utc};
use gtmpl::{Func, FuncError, Value};

use crate::times::humanize;

use super::{go_time, values};

pub(super) const ALL: [(&str, Func); 7] = [
    ("rightPad", right_pad),
    ("maxLength", max_length),
    ("add", add),
    ("dateFormat", date_format),
    ("humanizeTime", humanize_time),
    ("formatTime", format_time),
    ("printIntent", print_intent),
];

fn right_pad(arguments: &[Value]) -> Result<Value, FuncError> {
    const MAX_WIDTH: usize = 1000;
    let [Value::String(text), width] = arguments else { return wrong("rightPad", "a text and a width") };
    let Some(width) = integer(width) else { return wrong("rightPad", "a text and a width") };
    let width = usize::try_from(width).unwrap_or_default().min(MAX_WIDTH);
    Ok(format!("{text:width$}").into())
}

/// The length of the longest text that the list's items have in a field.
fn max_length(arguments: &[Value]) -> Result<Value, FuncError> {
    let [Value::Array(items), Value::String(field)] = arguments else {
        return wrong("maxLength", "a list and the name of a field");
    };
    let length = |item: &Value| match item {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value {
            // Scripts give the name that the field has in JSON: artifactId for ArtifactID.
            Value::String(text) if name.eq_ignore_ascii_case(field) => Some(text.chars().count()),
            _ => None,
        }),
        _ => None,
    };
    Ok(items.iter().filter_map(length).max().unwrap_or_default().into())
}

fn add(arguments: &[Value]) -> Result<Value, FuncError> {
    let [a, b] = arguments else { return wrong("add", "two numbers") };
    let (Some(a), Some(b)) = (integer(a), integer(b)) else { return wrong("add", "two numbers") };
    Ok(a.saturating_add(b).into())
}

#[expect(clippy::unnecessary_wraps, reason = "the library's signature")]
fn date_format(_: &[Value]) -> Result<Value, FuncError> {
    Ok("2006-01-02 15:04:05".into())
}

fn humanize_time(arguments: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(time)] = arguments else { return wrong("humanizeTime", "a time") };
    Ok(humanize(parse(time)?.to_utc(), Utc::now()).into())
}

/// Not called by this name: [`super::methods`] makes it of the method `Format`.
fn format_time(arguments: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(time), Value::String(layout)] = arguments else {
        return wrong("Format", "a time and a layout");
    };
    Ok(go_time::format(parse(time)?, layout).into())
}

fn print_intent(arguments: &[Value]) -> Result<Value, FuncError> {
    let [intent @ Value::Object(_)] = arguments else { return wrong("printIntent", "an intent") };
    Ok(values::sentence_of_intent_value(intent).unwrap_or_default().into())
}

fn parse(time: &str) -> Result<DateTime<FixedOffset>, FuncError> {
    DateTime::parse_from_rfc3339(time).map_err(|_| FuncError::Generic(format!("'{time}' is not a time")))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn wrong(function: &str, expected: &str) -> Result<Value, FuncError> {
    Err(FuncError::Generic(format!("{function} needs {expected}")))
}
