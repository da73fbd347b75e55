//! What runs where.

use release_api::{Environment, StatusResponse};
use release_core::{Name, Spec};
use release_git::{Snapshot, Tree};

use crate::{Flow, FlowError, layout, suggest::did_you_mean};

impl Flow {
    /// What runs of a service in each environment. Without a namespace it is
    /// looked up in the one that is named like the environment.
    pub async fn status(&self, service: Name, namespace: Option<Name>) -> Result<StatusResponse, FlowError> {
        let default_namespaces = namespace.is_none();
        let asked = (service.clone(), namespace.clone());
        let environments = self.read(move |snapshot| status(snapshot, &asked.0, asked.1.as_ref())).await?;
        if environments.is_empty() && self.backends.storage.ids(&service).await?.is_empty() {
            return Err(self.not_released(service, None).await);
        }
        Ok(StatusResponse { default_namespaces, environments })
    }

    /// An error that says where the service is instead, or which ones there are.
    pub(crate) async fn not_released(&self, service: Name, environment: Option<Name>) -> FlowError {
        let result =
            self.read(move |snapshot| Ok(not_released(&snapshot.tree(), &service, environment.as_ref())?));
        result.await.map_or_else(|error| error, FlowError::NotFound)
    }

    /// All environments, in alphabetical order.
    pub async fn environments(&self) -> Result<Vec<String>, FlowError> {
        self.read(|snapshot| Ok(to_strings(layout::environments(&snapshot.tree())?))).await
    }

    /// All services that are released or have artifacts, in alphabetical order.
    pub async fn services(&self) -> Result<Vec<String>, FlowError> {
        let released = self.read(|snapshot| Ok(layout::services(&snapshot.tree())?)).await?;
        let mut services = self.backends.storage.services().await?;
        services.extend(released);
        services.sort();
        services.dedup();
        Ok(to_strings(services))
    }
}

fn to_strings(names: Vec<Name>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

fn status(
    snapshot: &Snapshot,
    service: &Name,
    namespace: Option<&Name>,
) -> Result<Vec<Environment>, FlowError> {
    let tree = snapshot.tree();
    let mut found = Vec::new();
    for environment in layout::environments(&tree)? {
        let path = layout::artifact_file(&environment, namespace.unwrap_or(&environment), service);
        if let Some(contents) = tree.file(&path)? {
            found.push(describe(&environment, &contents));
        }
    }
    Ok(found)
}

fn describe(environment: &Name, artifact_json: &[u8]) -> Environment {
    let name = environment.to_string();
    let spec = match Spec::from_json(artifact_json) {
        Ok(spec) => spec,
        // One broken file must not hide the other environments.
        Err(error) => return Environment { name, message: error.to_string(), ..Environment::default() },
    };
    let vulnerabilities = spec.vulnerabilities();
    Environment {
        name,
        date: spec.ended_at().map_or(0, |end| end.timestamp_millis()),
        tag: spec.id,
        committer: spec.application.committer_name,
        author: spec.application.author_name,
        message: spec.application.message,
        build_url: spec.ci.job_url,
        high_vulnerabilities: vulnerabilities.high,
        medium_vulnerabilities: vulnerabilities.medium,
        low_vulnerabilities: vulnerabilities.low,
    }
}

fn not_released(
    tree: &Tree<'_>,
    service: &Name,
    environment: Option<&Name>,
) -> Result<String, release_git::GitError> {
    let environments = layout::environments(tree)?;
    if let Some(environment) = environment
        && !environments.contains(environment)
    {
        let hint = did_you_mean(environment, &environments);
        return Ok(format!("there is no environment '{environment}'{hint}"));
    }
    for candidate in &environments {
        for namespace in layout::namespaces(tree, candidate)? {
            let asked = environment.is_none_or(|environment| environment == candidate);
            let path = layout::service_directory(candidate, &namespace, service);
            if asked && tree.id(&path)?.is_some() {
                return Ok(format!(
                    "service '{service}' is not released to that namespace, but to namespace '{namespace}' of '{candidate}'"
                ));
            }
        }
    }
    let hint = did_you_mean(service, &layout::services(tree)?);
    let place = environment.map(|environment| format!(" to '{environment}'")).unwrap_or_default();
    Ok(format!("service '{service}' was never released{place}{hint}"))
}
