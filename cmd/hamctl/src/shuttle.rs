//! `shuttle.yaml`: where a service's repository says what it is called.

use std::{fs::File, io::Read as _, path::Path};

use serde_norway::Value;

pub(crate) const FILE_NAME: &str = "shuttle.yaml";
const MAX_BYTES: u64 = 1024 * 1024;

/// What hamctl takes from the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shuttle {
    /// `vars.service`
    pub(crate) service: Option<String>,
    /// `vars.k8s.namespace`
    pub(crate) namespace: Option<String>,
}

/// A missing file is an empty one; the error is a sentence.
pub(crate) fn read(path: &Path) -> Result<Shuttle, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Shuttle::default()),
        Err(error) => return Err(format!("{FILE_NAME} cannot be read: {error}")),
    };
    let mut yaml = String::new();
    let read = file.take(MAX_BYTES).read_to_string(&mut yaml);
    read.map_err(|error| format!("{FILE_NAME} cannot be read: {error}"))?;
    parse(&yaml).map_err(|error| format!("{FILE_NAME} is not YAML: {error}"))
}

/// The rest of the file belongs to another program, so nothing else is expected of it.
fn parse(yaml: &str) -> Result<Shuttle, serde_norway::Error> {
    let file: Value = serde_norway::from_str(yaml)?;
    let text = |value: Option<&Value>| {
        value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let vars = file.get("vars");
    let namespace = vars.and_then(|vars| vars.get("k8s")).and_then(|k8s| k8s.get("namespace"));
    Ok(Shuttle { service: text(vars.and_then(|vars| vars.get("service"))), namespace: text(namespace) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuttle(service: &str, namespace: &str) -> Shuttle {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Shuttle { service: text(service), namespace: text(namespace) }
    }

    #[test]
    fn only_two_variables_matter() {
        let cases = [
            ("plan: ../plan\nvars:\n  service: svc\n  k8s:\n    namespace: team\n", shuttle("svc", "team")),
            ("vars:\n  service: svc\n", shuttle("svc", "")),
            ("vars:\n  k8s: false\n", shuttle("", "")),
            ("vars: [1]\n", shuttle("", "")),
            ("", shuttle("", "")),
        ];
        for (yaml, expected) in cases {
            assert_eq!(parse(yaml).unwrap(), expected, "{yaml}");
        }
        assert!(parse("a: [").is_err());
    }
}
