//! Logs, metrics and request ids: what an operator sees of a running program.

mod daemon_metrics;
pub mod logs;
pub mod metrics;
mod request_id;

pub use daemon_metrics::DaemonMetrics;
pub use metrics::Metrics;
pub use request_id::RequestId;
