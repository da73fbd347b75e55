//! metrics.

use insta::assert_snapshot;

use crate::{program::Program, server::Server};

const FIGURES: &str = r#"{"since":"2021-06-01T08:00:00Z","until":"2021-07-01T08:00:00Z","isCut":true,
    "overall":{"deployments":15,"deploymentsPerDay":0.5,"leadTimeSeconds":7845,"failures":1,"changeFailureRate":0.07142857,"timeToRestoreSeconds":905},
    "services":[
      {"squad":"","service":"odd","deployments":1,"deploymentsPerDay":0.0333,"failures":0},
      {"squad":"aura","service":"product","deployments":14,"deploymentsPerDay":0.4667,"leadTimeSeconds":187300,"failures":1,"changeFailureRate":0.0769,"timeToRestoreSeconds":905}]}"#;
const NOTHING: &str = r#"{"since":"2021-06-01T08:00:00Z","until":"2021-07-01T08:00:00Z",
    "overall":{"deployments":0,"deploymentsPerDay":0.0,"failures":0},"services":[]}"#;

#[test]
fn figures_are_a_table_of_all_services_wherever_it_is_asked_for() {
    let server = Server::start().on("GET /api/v1/metrics/dora?days=30", 200, FIGURES);
    let program = Program::for_server(&server);
    std::fs::write(program.directory().join("shuttle.yaml"), "vars: {service: product}").unwrap();
    assert_snapshot!(program.run(&["metrics"]), @"
    exit 0
    Releases since 2021-06-01 08:00:00

    Squad  Service  Deployments  Per day  Lead time  Failures  Time to restore
    -      odd      1            0.03     -          0         -
    aura   product  14           0.47     2days 4h   1 (8%)    15m 5s
    all             15           0.50     2h 10m     1 (7%)    15m 5s
    -- stderr
    hint: older releases are left out, there are too many for one answer: ask for fewer days, one environment or one service
    ");
}

#[test]
fn what_is_asked_for_reaches_the_server_and_nothing_is_a_sentence() {
    let asked = "GET /api/v1/metrics/dora?days=1&service=product&squad=two+words&environment=prod";
    let server = Server::start().on(asked, 200, NOTHING);
    let program = Program::for_server(&server).with("HAMCTL_SERVICE", "product");
    assert_snapshot!(program.run(&["metrics", "--squad=two words", "--env=prod", "--days=1"]), @"
    exit 0
    There were no releases of product of squad two words to prod in the last day.
    ");
    assert_eq!(server.requests(), [asked]);
}

#[test]
fn figures_are_there_for_programs() {
    let server = Server::start().on("GET /api/v1/metrics/dora?days=30&service=odd", 200, NOTHING);
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["metrics", "--service=odd", "--output=json"]), @r#"
    exit 0
    {
      "since": "2021-06-01T08:00:00Z",
      "until": "2021-07-01T08:00:00Z",
      "overall": {
        "deployments": 0,
        "deploymentsPerDay": 0.0,
        "failures": 0
      },
      "services": []
    }
    "#);
    assert_snapshot!(program.run(&["metrics", "--service=odd", "--output=yaml"]), @"
    exit 0
    since: 2021-06-01T08:00:00Z
    until: 2021-07-01T08:00:00Z
    overall:
      deployments: 0
      deploymentsPerDay: 0.0
      failures: 0
    services: []
    ");
}

#[test]
fn a_server_that_is_too_old_and_days_that_are_too_many_are_said() {
    let program = Program::for_server(&Server::start());
    assert_snapshot!(program.run(&["metrics"]), @"
    exit 1
    -- stderr
    error: the server is too old to tell how software is delivered (reference: [id])
    ");
    assert_snapshot!(program.run(&["metrics", "--days=366"]), @"
    exit 2
    -- stderr
    error: invalid value '366' for '--days <DAYS>': 366 is not in 1..=365

    For more information, try '--help'.
    ");
}
