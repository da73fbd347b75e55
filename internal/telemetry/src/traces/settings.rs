//! What the environment says about traces: OpenTelemetry's variables, and Jaeger's for
//! deployments that have them.

use super::TraceError;

/// Where Jaeger takes OTLP over HTTP.
const OTLP_PORT: u16 = 4318;
const OTLP_PATH: &str = "/v1/traces";
/// Where Jaeger takes Thrift, which nothing speaks any more.
const THRIFT_PATH: &str = "/api/traces";

/// How to export. What is `None` the OpenTelemetry SDK reads from the environment itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// URL that takes spans.
    pub(super) endpoint: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) sampler: Option<Sampler>,
    /// Said of every span.
    pub(super) tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sampler {
    All,
    Nothing,
    /// This share of the traces that begin here.
    Share(f64),
}

/// `None`: nothing is to be exported. That is so unless an endpoint is named.
pub(super) fn settings(
    program: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Settings>, TraceError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_true = |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_off = variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    if is_off || is_true("OTEL_SDK_DISABLED") || is_true("JAEGER_DISABLED") {
        return Ok(None);
    }
    let names_endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let endpoint = match names_endpoint.into_iter().find_map(&variable) {
        Some(_) => None,
        None => match jaeger_endpoint(variable) {
            Some(endpoint) => Some(endpoint),
            None => return Ok(None),
        },
    };
    let sampler = match variable("OTEL_TRACES_SAMPLER") {
        Some(_) => None,
        None => jaeger_sampler(variable)?,
    };
    let service_name = match variable("OTEL_SERVICE_NAME") {
        Some(_) => None,
        None => Some(variable("JAEGER_SERVICE_NAME").unwrap_or_else(|| program.to_owned())),
    };
    let tags = variable("JAEGER_TAGS").map(|tags| jaeger_tags(&tags, variable)).unwrap_or_default();
    Ok(Some(Settings { endpoint, service_name, sampler, tags }))
}

/// The collector or agent of older Jaegers has a successor on the same host that takes OTLP.
fn jaeger_endpoint(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some(endpoint) = variable("JAEGER_ENDPOINT") else {
        return variable("JAEGER_AGENT_HOST").map(|host| format!("http://{host}:{OTLP_PORT}{OTLP_PATH}"));
    };
    let Some(collector) = endpoint.strip_suffix(THRIFT_PATH) else { return Some(endpoint) };
    let host = match collector.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => collector,
    };
    Some(format!("{host}:{OTLP_PORT}{OTLP_PATH}"))
}

fn jaeger_sampler(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Sampler>, TraceError> {
    let Some(kind) = variable("JAEGER_SAMPLER_TYPE") else { return Ok(None) };
    let parameter = variable("JAEGER_SAMPLER_PARAM").unwrap_or_else(|| "1".to_owned());
    let number = || {
        let number = parameter.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        number.ok_or_else(|| TraceError::SamplerParameter(parameter.clone()))
    };
    Ok(Some(match kind.as_str() {
        "const" if number()? == 0.0 => Sampler::Nothing,
        "probabilistic" => Sampler::Share(number()?),
        // The rates of the last two come from elsewhere; a release platform has few traces.
        "const" | "ratelimiting" | "remote" => Sampler::All,
        _ => return Err(TraceError::SamplerType(kind)),
    }))
}

/// `key=value,key=${VARIABLE:default}`; what is no pair is left out.
fn jaeger_tags(tags: &str, variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let pairs = tags.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), expanded(value.trim(), &variable))).collect()
}

fn expanded(value: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let Some(reference) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return value.to_owned();
    };
    let (name, default) = reference.split_once(':').unwrap_or((reference, ""));
    variable(name).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, TraceError> {
        settings("release-manager", |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_named_and_nobody_said_no() {
        let otlp = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for (variables, exports) in [
            (&[][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], false),
            (&[otlp], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost/x")], true),
            (&[("JAEGER_AGENT_HOST", "jaeger")], true),
            (&[otlp, ("JAEGER_DISABLED", "true")], false),
            (&[otlp, ("JAEGER_DISABLED", "false")], true),
            (&[otlp, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[otlp, ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[otlp, ("OTEL_TRACES_EXPORTER", "otlp")], true),
        ] {
            assert_eq!(read(variables).unwrap().is_some(), exports, "{variables:?}");
        }
    }

    #[test]
    fn addresses_of_older_jaegers_become_those_of_otlp() {
        for (variable, value, expected) in [
            ("JAEGER_AGENT_HOST", "10.0.0.7", "http://10.0.0.7:4318/v1/traces"),
            ("JAEGER_ENDPOINT", "http://jaeger:14268/api/traces", "http://jaeger:4318/v1/traces"),
            ("JAEGER_ENDPOINT", "https://jaeger/api/traces", "https://jaeger:4318/v1/traces"),
            ("JAEGER_ENDPOINT", "http://[::1]:14268/api/traces", "http://[::1]:4318/v1/traces"),
            ("JAEGER_ENDPOINT", "http://jaeger:4318/v1/traces", "http://jaeger:4318/v1/traces"),
        ] {
            let settings = read(&[(variable, value)]).unwrap().unwrap();
            assert_eq!(settings.endpoint.as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn jaegers_variables_count_where_opentelemetrys_are_not_set() {
        let jaeger = [
            ("JAEGER_ENDPOINT", "http://jaeger:14268/api/traces"),
            ("JAEGER_SERVICE_NAME", "releases"),
            ("JAEGER_SAMPLER_TYPE", "probabilistic"),
            ("JAEGER_SAMPLER_PARAM", "0.25"),
            ("JAEGER_TAGS", "team=aura, region = ${REGION:eu} ,zone=${ZONE},broken"),
            ("ZONE", "b"),
        ];
        let settings = read(&jaeger).unwrap().unwrap();
        assert_eq!(settings.service_name.as_deref(), Some("releases"));
        assert_eq!(settings.sampler, Some(Sampler::Share(0.25)));
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(settings.tags, [tag("team", "aura"), tag("region", "eu"), tag("zone", "b")]);

        let both = [
            &jaeger[..],
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
                ("OTEL_SERVICE_NAME", "x"),
                ("OTEL_TRACES_SAMPLER", "always_on"),
            ],
        ]
        .concat();
        let settings = read(&both).unwrap().unwrap();
        assert_eq!((settings.endpoint, settings.service_name, settings.sampler), (None, None, None));
    }

    #[test]
    fn samplers_are_those_of_jaeger() {
        let read = |kind, parameter| {
            let host = ("JAEGER_AGENT_HOST", "jaeger");
            read(&[host, ("JAEGER_SAMPLER_TYPE", kind), ("JAEGER_SAMPLER_PARAM", parameter)])
        };
        for (kind, parameter, expected) in [
            ("const", "1", Sampler::All),
            ("const", "0", Sampler::Nothing),
            ("probabilistic", "0.5", Sampler::Share(0.5)),
            ("ratelimiting", "2.0", Sampler::All),
            ("remote", "", Sampler::All),
        ] {
            assert_eq!(read(kind, parameter).unwrap().unwrap().sampler, Some(expected), "{kind}");
        }
        for (kind, parameter) in [("const", "x"), ("probabilistic", "1.5"), ("odd", "1")] {
            assert!(read(kind, parameter).is_err(), "{kind} {parameter}");
        }
        assert_eq!(
            super::settings("p", |name| (name == "JAEGER_AGENT_HOST").then(|| "j".into()))
                .unwrap()
                .unwrap()
                .service_name
                .as_deref(),
            Some("p")
        );
    }
}
