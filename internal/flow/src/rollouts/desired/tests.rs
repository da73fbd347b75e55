use super::*;

/// An environment `dev` with its services in the namespace `dev`, without a repository.
#[derive(Default)]
pub(crate) struct Files {
    services: BTreeMap<String, Arc<Service>>,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn service(self, name: &str, artifact_id: &str, manifests: &[&str]) -> Self {
        let manifests: Vec<Vec<u8>> = manifests.iter().map(|text| text.as_bytes().to_vec()).collect();
        self.with(name, artifact_id, manifests::workloads(&manifests, &namespace()))
    }

    /// A service whose manifests others render.
    pub(crate) fn rendered(self, name: &str, artifact_id: &str) -> Self {
        self.with(name, artifact_id, None)
    }

    fn with(mut self, name: &str, artifact_id: &str, workloads: Option<Vec<Expected>>) -> Self {
        let service = Service {
            directory: no_id(),
            name: Name::new(name).unwrap(),
            namespace: namespace(),
            artifact_id: artifact_id.to_owned(),
            workloads,
        };
        self.services.insert(name.to_owned(), Arc::new(service));
        self
    }

    pub(crate) fn environment(&self) -> Environment {
        let namespace = Namespace { directory: no_id(), services: self.services.clone() };
        Environment::new(None, BTreeMap::from([("dev".to_owned(), Arc::new(namespace))]))
    }
}

fn namespace() -> Name {
    Name::new("dev").unwrap()
}

fn no_id() -> ObjectId {
    "0000000000000000000000000000000000000000".parse().unwrap()
}

#[test]
fn what_something_may_be_part_of_is_found_the_likeliest_first() {
    let deployment = |name: &str| format!("kind: Deployment\nmetadata: {{name: {name}}}\n");
    let files = Files::new()
        .service("api", "m-1", &[&deployment("api"), &deployment("worker")])
        .service("worker", "m-2", &[])
        .service("web", "m-3", &[&deployment("site")])
        .service("twin", "m-3", &[]);
    let environment = files.environment();
    for (kind, name, artifact_id, expected) in [
        ("Deployment", "api", "m-1", &["api", "api", "api"][..]),
        ("Deployment", "worker", "m-2", &["api", "worker", "worker"]),
        ("StatefulSet", "api", "x", &["api"]),
        ("Pod", "site-7d-x", "x", &["web"]),
        ("Pod", "api-7d-x", "x", &["api", "api"]),
        ("Job", "api-migrate", "x", &["api"]),
        ("Deployment", "api-worker", "x", &[]),
        ("Deployment", "else", "m-1", &["api"]),
        ("Deployment", "else", "m-3", &[]),
    ] {
        let id = WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() };
        let found = environment.candidates(&id, artifact_id);
        let found: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(found, expected, "{kind}/{name} {artifact_id}");
    }
}

#[test]
fn an_alert_about_what_applies_a_service_is_the_services() {
    let files = Files::new().service("api", "m-1", &[]).service("web", "m-1", &[]);
    let environment = files.environment();
    for (kind, name, expected) in [("Pod", "api", Some("api")), ("Pod", "api-1", None), ("Job", "api", None)]
    {
        let id = WorkloadId { kind: kind.into(), namespace: "flux-system".into(), name: name.into() };
        let found =
            environment.candidates(&id, "m-1").first().map(|service| service.name.as_str().to_owned());
        assert_eq!(found.as_deref(), expected, "{kind}/{name}");
    }
}

#[test]
fn what_begins_like_a_service_with_the_same_artifact_is_not_taken_for_its_own() {
    let files = Files::new().rendered("api", "m-1").rendered("worker", "m-1").rendered("api-cron", "m-1");
    let environment = files.environment();
    for (kind, name, expected) in [
        ("Pod", "api-7d-x", &["api"][..]),
        ("Pod", "api-worker-7d-x", &[]),
        ("Pod", "api-cron-7d-x", &["api-cron"]),
        ("Job", "api-worker-migrate", &[]),
        ("Job", "api", &["api"]),
    ] {
        let id = WorkloadId { kind: kind.into(), namespace: "dev".into(), name: name.into() };
        let found = environment.candidates(&id, "m-1");
        let found: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(found, expected, "{kind}/{name}");
    }
}
