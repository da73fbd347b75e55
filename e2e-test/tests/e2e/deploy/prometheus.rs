//! Alerts, as `promtool` reads them.

use std::process::Command;

use super::directory;
use crate::harness::run;

#[tokio::test]
async fn alerts_fire_when_they_should_and_not_before() {
    for (command, file) in [("check", "alerts.yaml"), ("test", "alerts.test.yaml")] {
        let mut promtool = Command::new("promtool");
        promtool.args([command, "rules"]).arg(directory("prometheus").join(file));
        let run = run(promtool).await;
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
}
