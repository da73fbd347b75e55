//! Logs, metrics and request ids: what an operator sees of a running program.

pub mod logs;
pub mod metrics;
mod request_id;

pub use metrics::Metrics;
pub use request_id::RequestId;
