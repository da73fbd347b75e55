//! The JSON form of a log line.

use std::{error::Error, fmt, io::Write};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, Scope},
};

const TIMESTAMP: &str = "@timestamp";
const LEVEL: &str = "level";
const MESSAGE: &str = "message";

/// Writes each event as one JSON object on a line of its own.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert(TIMESTAMP.into(), Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true).into());
        line.insert(LEVEL.into(), event.metadata().level().as_str().to_ascii_lowercase().into());
        // Reserves the place, so that every line begins with the same three.
        line.insert(MESSAGE.into(), "".into());

        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(Fields(fields)) = span.extensions().get() {
                line.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        let mut own = Fields::default();
        event.record(&mut own);
        line.extend(own.0);

        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // There is nowhere left to report that standard error is closed.
        let _ = self.writer.make_writer().write_all(text.as_bytes());
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        // The others are for traces alone.
        if name != TIMESTAMP && name != LEVEL && !name.starts_with("otel.") {
            self.0.insert(name.to_owned(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    /// The whole chain of causes: a `Display` never repeats its source.
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.set(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs, read back.
    fn lines_of(work: impl FnOnce()) -> Vec<Map<String, Value>> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_begins_with_time_level_and_message_and_then_has_its_fields() {
        let lines =
            lines_of(|| tracing::info!(service = "svc", count = 3, "artifact-id" = %"m-1", "Released"));
        let names: Vec<&str> = lines[0].keys().map(String::as_str).collect();
        assert_eq!(names, ["@timestamp", "level", "message", "service", "count", "artifact-id"]);
        assert_eq!(lines[0]["level"], "info");
        assert_eq!(lines[0]["message"], "Released");
        assert_eq!(lines[0]["count"], 3);
        let time = lines[0]["@timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    }

    #[test]
    fn every_line_within_a_request_has_its_id() {
        let lines = lines_of(|| {
            tracing::info_span!("request", requestId = "request-7").in_scope(|| {
                tracing::info!("outer");
                tracing::info_span!("inner", step = "push").in_scope(|| tracing::warn!("inner"));
            });
            tracing::info!("elsewhere");
        });
        assert_eq!(lines[0]["requestId"], "request-7");
        assert_eq!(lines[1]["requestId"], "request-7");
        assert_eq!(lines[1]["step"], "push");
        assert!(!lines[2].contains_key("requestId"));
    }

    #[test]
    fn text_from_outside_cannot_start_a_line_or_pose_as_another_field() {
        let forged = "x\"}\n{\"level\":\"info\"";
        let lines = lines_of(|| tracing::error!(value = forged, level = "info", "Refused\nfor now"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["value"], forged);
        assert_eq!(lines[0]["level"], "error");
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the push failed")]
        struct PushError(#[source] io::Error);

        let error = PushError(io::Error::other("connection refused"));
        let lines = lines_of(|| tracing::error!(error = &error as &dyn Error, "Not released"));
        assert_eq!(lines[0]["error"], "the push failed: connection refused");
    }
}
