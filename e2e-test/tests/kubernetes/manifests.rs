//! What is in deploy/, as an API server reads it.

use std::{fs, path::Path, process::Command};

use release_testing::control_plane::ControlPlane;
use tempfile::TempDir;

/// Of the kustomizations; API servers accept nothing in a namespace that is not there.
const NAMESPACE: &str = "release-platform";

fn deploy(part: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(part);
    path.to_str().expect("it is UTF-8").to_owned()
}

/// Standard output of a program that goes well.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Servers before 1.21 know the same budget by an older name.
async fn for_this_server(control_plane: &ControlPlane, manifests: &str) -> String {
    let groups = control_plane.get("apis/policy").await.to_string();
    if groups.contains("policy/v1\"") {
        manifests.into()
    } else {
        manifests.replace("policy/v1\n", "policy/v1beta1\n")
    }
}

/// What `kubectl apply` says about each of the objects.
async fn apply(control_plane: &ControlPlane, manifests: &str, flags: &[&str]) -> Vec<String> {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("manifests.yaml");
    fs::write(&file, for_this_server(control_plane, manifests).await).expect("a file");
    let file = format!("--filename={}", file.display());
    let said = control_plane.kubectl(&[&["apply", &file], flags].concat()).await;
    said.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_api_server_accepts_the_kustomizations_and_the_chart() {
    let control_plane = ControlPlane::start().await;
    control_plane.create_namespace(NAMESPACE).await;
    let chart = deploy("helm/release-platform");
    let helm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/helm");
    let rendered = [
        (output("kubectl", &["kustomize", &deploy("kustomize/server")]), 5),
        (output("kubectl", &["kustomize", &deploy("kustomize/daemon")]), 9),
        (
            output(
                helm.to_str().expect("it is UTF-8"),
                &["template", "release", &chart, "--namespace", NAMESPACE, "--kube-version=1.33.0"],
            ),
            14,
        ),
    ];
    for (manifests, count) in rendered {
        let said = apply(&control_plane, &manifests, &["--dry-run=server"]).await;
        assert_eq!(said.len(), count, "{said:#?}");
        assert!(said.iter().all(|line| line.contains("created (server dry run)")), "{said:#?}");
    }
}
