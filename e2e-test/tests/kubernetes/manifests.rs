//! What is in deploy/, as an API server reads it.

use std::{fs, path::Path, process::Command};

use release_testing::control_plane::ControlPlane;
use tempfile::TempDir;

use crate::harness::run;

/// Of the kustomizations; API servers accept nothing in a namespace that is not there.
pub(crate) const NAMESPACE: &str = "release-platform";

#[tokio::test]
async fn an_api_server_accepts_the_kustomizations_and_the_chart() {
    let control_plane = ControlPlane::start().await;
    control_plane.create_namespace(NAMESPACE).await;
    let rendered =
        [(kustomization("server").await, 5), (kustomization("daemon").await, 9), (chart().await, 14)];
    for (manifests, count) in rendered {
        let said = apply(&control_plane, &manifests, &["--dry-run=server"]).await;
        assert_eq!(said.len(), count, "{said:#?}");
        assert!(said.iter().all(|line| line.contains("created (server dry run)")), "{said:#?}");
    }
}

/// What a part of deploy/kustomize renders.
pub(crate) async fn kustomization(part: &str) -> String {
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("kustomize").arg(format!("{}/../deploy/kustomize/{part}", env!("CARGO_MANIFEST_DIR")));
    run(kubectl).await.ok()
}

async fn chart() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut helm = Command::new(root.join("target/tools/bin/helm"));
    helm.args(["template", "release", "--namespace", NAMESPACE, "--kube-version=1.33.0"]);
    helm.arg(root.join("deploy/helm/release-platform"));
    run(helm).await.ok()
}

/// What `kubectl apply` says about each of the objects.
pub(crate) async fn apply(control_plane: &ControlPlane, manifests: &str, flags: &[&str]) -> Vec<String> {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("manifests.yaml");
    fs::write(&file, for_this_server(control_plane, manifests).await).expect("a file");
    let file = format!("--filename={}", file.display());
    let said = control_plane.kubectl(&[&["apply", &file], flags].concat()).await;
    said.lines().map(str::to_owned).collect()
}

/// Servers before 1.21 know the same budget by an older name.
async fn for_this_server(control_plane: &ControlPlane, manifests: &str) -> String {
    let versions = control_plane.get("apis/policy").await.to_string();
    if versions.contains(r#""policy/v1""#) {
        manifests.to_owned()
    } else {
        manifests.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n")
    }
}
