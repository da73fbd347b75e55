//! What goes wrong is said in a sentence, with what to do next and the right exit code.

use insta::assert_snapshot;

use crate::{program::Program, server::Server};

#[test]
fn the_service_and_the_server_have_to_be_known() {
    let server = Server::start();
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["status"]), @"
    exit 2
    -- stderr
    error: the service is missing
    hint: name it with --service, with HAMCTL_SERVICE, or as vars.service in a shuttle.yaml in this directory
    ");
    assert_snapshot!(Program::new().run(&["status", "--service", "svc"]), @"
    exit 2
    -- stderr
    error: it is not known where the release server is
    hint: set HAMCTL_URL or use --http-base-url, like https://release.example.com
    ");
    std::fs::write(program.directory().join("shuttle.yaml"), "vars: [").unwrap();
    assert_snapshot!(program.run(&["status"]), @"
    exit 2
    -- stderr
    error: the service is missing
    hint: name it with --service, with HAMCTL_SERVICE, or as vars.service in a shuttle.yaml in this directory
    hint: shuttle.yaml is not YAML: did not find expected node content at line 2 column 1, while parsing a flow node
    ");
}

#[test]
fn wrong_usage_ends_with_2() {
    let program = Program::new().with("HAMCTL_URL", "http://127.0.0.1:1");
    let cases: [&[&str]; 10] = [
        &[],
        &["unknown"],
        &["release", "--service", "svc", "--env", "dev"],
        &["release", "--service", "svc", "--branch", "a", "--artifact", "b", "--env", "dev"],
        &["release", "--service", "svc", "--branch", "a", "--env", "dev,,prod"],
        &["release", "--service", "svc", "--branch", "a", "--env", ""],
        &["status", "--service", "svc", "--http-timeout", "0s"],
        &["status", "--service", "svc", "--output", "json", "--template", "x"],
        &["describe", "release", "--service", "svc", "--env", "dev", "--count", "0"],
        &["status", "--service", "svc", "--http-base-url", "release.example.com"],
    ];
    for arguments in cases {
        let output = program.hamctl().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there() {
    let program = Program::new();
    let arguments = ["status", "--service", "svc", "--http-base-url", "http://127.0.0.1:1/path"];
    assert_snapshot!(program.run(&arguments), @"
    exit 1
    -- stderr
    error: the server at http://127.0.0.1:1 cannot be reached: Connection refused (os error 111)
    hint: check HAMCTL_URL or --http-base-url, your network and VPN
    ");
}

#[test]
fn a_token_that_is_not_accepted_is_not_shown() {
    let server =
        Server::start().on("GET /status?service=svc", 401, r#"{"status":401,"message":"unknown token"}"#);
    let program = Program::for_server(&server).with("HAMCTL_AUTH_TOKEN", "hunter2\nx");
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 1
    -- stderr
    error: the request cannot be made: failed to parse header value
    hint: if HAMCTL_AUTH_TOKEN is set, see that there is nothing but the token in it
    ");
    let program = Program::for_server(&server).with("HAMCTL_AUTH_TOKEN", "hunter2");
    assert_snapshot!(program.run(&["status", "--service", "svc"]), @"
    exit 1
    -- stderr
    error: unknown token (reference: [id])
    hint: set HAMCTL_AUTH_TOKEN to a token that the server accepts
    ");
}

#[test]
fn trouble_at_the_server_and_pages_of_proxies() {
    let server = Server::start()
        .on("GET /status?service=a", 500, r#"{"status":500,"message":"internal error"}"#)
        .on("GET /status?service=b", 200, "<html>Please log in</html>")
        .on(
            "GET /status?service=c",
            400,
            r#"{"status":400,"message":"service 'c' is unknown; did you mean 'cc'?"}"#,
        );
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["status", "--service", "a"]), @"
    exit 1
    -- stderr
    error: the server answered 500: internal error (reference: [id])
    hint: tell the people who run the server, with the reference
    ");
    assert_snapshot!(program.run(&["status", "--service", "b"]), @"
    exit 1
    -- stderr
    error: [server] answered 200 with something that is not from a release server (reference: [id])
    hint: check HAMCTL_URL or --http-base-url; a proxy or login page may be in between
    ");
    assert_snapshot!(program.run(&["status", "--service", "c"]), @"
    exit 1
    -- stderr
    error: service 'c' is unknown; did you mean 'cc'? (reference: [id])
    ");
}

#[test]
fn a_wrong_template_is_wrong_usage() {
    let server = Server::start().on("GET /status?service=svc", 200, "{}");
    let program = Program::for_server(&server);
    assert_snapshot!(program.run(&["status", "--service", "svc", "--template", "{{ .Nope }}"]), @"
    exit 2
    -- stderr
    error: the template cannot be used: no field Nope
    ");
}
