//! The trace that a span belongs to, as other programs are told of it.

use std::{fmt, sync::atomic::Ordering};

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::IS_EXPORTED;

/// The header, of HTTP and of messages, that W3C Trace Context defines.
pub const TRACE_HEADER: &str = "traceparent";
/// The header of Jaeger's older clients.
pub const JAEGER_TRACE_HEADER: &str = "uber-trace-id";

/// What traces call a span that has different names, such as a request. It has to have the field
/// `otel.name`, and must not have been entered yet. Logs are spared of it where no traces are exported.
pub fn name_span(span: &Span, name: &str) {
    // Asking the span itself would begin it, with the name that it has.
    if IS_EXPORTED.load(Ordering::Relaxed) {
        span.record("otel.name", name);
    }
}

/// A span of another program, or of an earlier moment, to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// Where we are now; `None` where no traces are exported, or outside of any span.
    pub fn current() -> Option<Self> {
        let context = Span::current().context();
        let span = context.span().span_context().clone();
        let (trace, flags) = (span.trace_id(), span.trace_flags());
        span.is_valid().then(|| Self { trace, span: span.span_id(), flags })
    }

    /// The value of [`TRACE_HEADER`] for what is told to others now.
    pub fn current_header() -> Option<String> {
        Self::current().map(|context| context.to_string())
    }

    /// From the value of either header.
    pub fn from_header(value: &str) -> Option<Self> {
        Self::from_w3c(value).or_else(|| Self::from_jaeger(value))
    }

    /// From the value of [`TRACE_HEADER`]; `None` when it is not as the standard says.
    pub fn from_w3c(value: &str) -> Option<Self> {
        let mut parts = value.trim().split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let is_known = version == "00" && parts.next().is_none();
        let is_newer = version.len() == 2 && !matches!(version, "00" | "ff");
        if !(is_known || is_newer) || [trace.len(), span.len(), flags.len()] != [32, 16, 2] {
            return None;
        }
        Self::from_hex(trace, span, flags)
    }

    /// From the value of [`JAEGER_TRACE_HEADER`]: `trace:span:parent:flags`, without leading zeros.
    pub fn from_jaeger(value: &str) -> Option<Self> {
        let value = value.trim().replace("%3A", ":").replace("%3a", ":");
        let mut parts = value.split(':');
        let [trace, span, _, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        if parts.next().is_some() {
            return None;
        }
        Self::from_hex(trace, span, flags)
    }

    fn from_hex(trace: &str, span: &str, flags: &str) -> Option<Self> {
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if ![trace, span, flags].into_iter().all(is_hex) {
            return None;
        }
        let trace = TraceId::from(u128::from_str_radix(trace, 16).ok()?);
        let span = SpanId::from(u64::from_str_radix(span, 16).ok()?);
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & TraceFlags::SAMPLED.to_u8());
        (trace != TraceId::INVALID && span != SpanId::INVALID).then_some(Self { trace, span, flags })
    }

    /// Makes a span go on from here. It must not have been entered yet.
    pub fn adopt(&self, span: &Span) {
        let remote = SpanContext::new(self.trace, self.span, self.flags, true, TraceState::default());
        // Where no traces are exported, there is nobody to know.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
}

/// The value of [`TRACE_HEADER`].
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags.to_u8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_allows_is_read_and_written_back() {
        assert_eq!(TraceContext::from_w3c(W3C).unwrap().to_string(), W3C);
        let later = W3C.replacen("00", "cc", 1) + "-more";
        assert_eq!(TraceContext::from_w3c(&later).unwrap().to_string(), W3C);
        let not_sampled = W3C.replace("-01", "-00");
        assert_eq!(TraceContext::from_w3c(&not_sampled).unwrap().to_string(), not_sampled);
    }

    #[test]
    fn anything_else_is_no_trace() {
        let no_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for value in [
            "",
            "00",
            "00-1-2-01",
            &W3C.replacen("00", "ff", 1),
            &(W3C.to_owned() + "-x"),
            &no_trace,
            "é-é-é-é",
        ] {
            assert_eq!(TraceContext::from_w3c(value), None, "{value}");
        }
        for value in ["", "1:2:0", "0:2:0:1", "1:0:0:1", "x:2:0:1", "1:2:0:1:0", "+1:2:0:1"] {
            assert_eq!(TraceContext::from_jaeger(value), None, "{value}");
        }
    }

    #[test]
    fn older_jaeger_clients_are_understood() {
        for (value, expected) in [
            ("4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1", W3C),
            ("4bf92f3577b34da6a3ce929d0e0e4736%3Af067aa0ba902b7%3A0%3A1", W3C),
            ("a:b:c:2", "00-0000000000000000000000000000000a-000000000000000b-00"),
            ("a:b:0:3", "00-0000000000000000000000000000000a-000000000000000b-01"),
        ] {
            assert_eq!(TraceContext::from_jaeger(value).unwrap().to_string(), expected, "{value}");
        }
    }
}
