//! Traces, exported by OTLP over HTTP, which Jaeger takes as it is.
//!
//! The exporter for Jaeger's own protocol has ended, and cannot be used with today's SDK. Its
//! variables still work: see `docs/operations.md`.

mod context;
mod settings;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler as SdkSampler, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use context::{JAEGER_TRACE_HEADER, TRACE_HEADER, TraceContext, name_span};
use settings::{Sampler, settings};

/// How long spans may take to get out when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether any span of this process goes anywhere.
static IS_EXPORTED: AtomicBool = AtomicBool::new(false);

/// Why no traces can be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("JAEGER_SAMPLER_TYPE '{0}' is not known; use const or probabilistic")]
    SamplerType(String),
    #[error("JAEGER_SAMPLER_PARAM '{0}' is not valid; use a number from 0 to 1")]
    SamplerParameter(String),
    #[error("traces cannot be exported; check the variables OTEL_EXPORTER_OTLP_* and JAEGER_*")]
    Exporter(#[from] ExporterBuildError),
}

/// Exports spans for as long as it lives; what waits gets two seconds at the end.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// As the environment says: nothing, unless an endpoint is named. `program` is what traces
    /// call this program, unless the environment has another name.
    pub fn from_env(program: &str) -> Result<Self, TraceError> {
        // Not clap's: they are the same for every program that exports traces.
        #[allow(clippy::disallowed_methods)]
        Self::read(program, |name| std::env::var(name).ok())
    }

    /// The same with the variables of a test.
    #[doc(hidden)]
    pub fn read(program: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, TraceError> {
        let Some(settings) = settings(program, variable)? else { return Ok(Self(None)) };
        let exporter = SpanExporter::builder().with_http();
        let exporter = match settings.endpoint {
            Some(endpoint) => exporter.with_endpoint(endpoint),
            None => exporter,
        };
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(settings.tags.into_iter().map(|(key, value)| KeyValue::new(key, value)));
        if let Some(name) = settings.service_name {
            resource = resource.with_service_name(name);
        }
        let mut provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.build()?)
            .with_resource(resource.build());
        if let Some(sampler) = settings.sampler {
            provider = provider.with_sampler(SdkSampler::from(sampler));
        }
        Ok(Self(Some(provider.build())))
    }

    /// Exports nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// What a subscriber tells of spans.
    pub(crate) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        let tracer = self.0.as_ref()?.tracer("release-platform");
        IS_EXPORTED.store(true, Ordering::Relaxed);
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_threads(false);
        Some(layer.with_filter(ours()).boxed())
    }

    /// For programs that write no log.
    pub fn set_global(&self) {
        if let Some(layer) = self.layer() {
            // Only a test has another subscriber already.
            let _ = tracing_subscriber::registry().with(layer).try_init();
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // Nobody is left to be told; traces are not what the program is for.
            let _ = provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Spans of our own code: those of the HTTP client would tell of the export itself, without end.
fn ours() -> Targets {
    let crates = ["release", "server", "daemon", "hamctl", "artifact"];
    Targets::new().with_targets(crates.map(|name| (name, LevelFilter::INFO)))
}

impl From<Sampler> for SdkSampler {
    fn from(sampler: Sampler) -> Self {
        let root = match sampler {
            Sampler::All => Self::AlwaysOn,
            Sampler::Nothing => Self::AlwaysOff,
            Sampler::Share(share) => Self::TraceIdRatioBased(share),
        };
        Self::ParentBased(Box::new(root))
    }
}
