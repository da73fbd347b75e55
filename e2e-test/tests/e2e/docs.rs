//! Every command in the pages for newcomers works as it stands there.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::program;

/// Each page is one session: its `sh` blocks run in their order, in one shell.
const PAGES: [&str; 2] = ["README.md", "docs/tutorial.md"];

/// What a reader has and does: programs that are built, and a terminal for the server alone.
const SESSION: &str = r#"
set -euo pipefail
server() {
    command server "$@" >>"$HOME/server.log" 2>&1 &
    until curl --silent --fail --output /dev/null "http://localhost:$HTTP_PORT/ready"; do
        kill -0 $! || { cat "$HOME/server.log" >&2; exit 1; }
        sleep 0.05
    done
}
make() { :; }
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
set -x
"#;

#[test]
fn the_commands_of_the_pages_for_newcomers_work() {
    for page in PAGES {
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        let text = fs::read_to_string(repository().join(page)).unwrap();
        let commands = commands(&text).replace("8080", &port.to_string());
        assert!(!commands.is_empty(), "{page} has no commands");
        let programs = program("server").parent().unwrap().to_owned();
        for name in ["hamctl", "artifact"] {
            program(name);
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let run = Command::new("bash")
            .arg("-c")
            .arg(format!("{SESSION}{commands}"))
            .current_dir(home.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", home.path())
            .env("HTTP_PORT", port.to_string())
            .env("GIT_PAGER", "cat")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(run.status.success(), "{page}:\n{}\n{}", shown(&run.stdout), shown(&run.stderr));
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The blocks between ` ```sh ` and ` ``` `, but not what belongs to a clone of this repository.
fn commands(page: &str) -> String {
    let mut commands = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => writeln!(commands, "{line}").unwrap(),
            _ => {}
        }
    }
    commands
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
