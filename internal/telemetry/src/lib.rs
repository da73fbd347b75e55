//! Logs, traces, metrics and request ids: what an operator sees of a running program.

mod daemon_metrics;
pub mod logs;
pub mod metrics;
mod request_id;
mod traces;

pub use daemon_metrics::DaemonMetrics;
pub use metrics::Metrics;
pub use request_id::RequestId;
pub use traces::{JAEGER_TRACE_HEADER, TRACE_HEADER, TraceContext, TraceError, Traces, name_span};
