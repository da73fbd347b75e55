//! The programs under test, as `cargo build --workspace` left them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::SystemTime,
};

/// The path of a program, which is up to date.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    // target/<profile>/deps/e2e-<hash>
    let directory = test.parent().and_then(Path::parent).expect("the test is in target/<profile>/deps");
    let program = directory.join(name);
    assert_is_current(&program);
    program
}

/// Cargo writes beside each program which files it was made of.
fn assert_is_current(program: &Path) {
    let Some(built) = modified(program) else {
        panic!("{} is missing; run `cargo build --workspace` first", program.display());
    };
    let sources = fs::read_to_string(program.with_extension("d")).expect("cargo's list of sources");
    let (_, sources) = sources.split_once(": ").expect("`program: source source …`");
    for source in sources.trim_end().replace("\\ ", "\0").split(' ') {
        let source = PathBuf::from(source.replace('\0', " "));
        assert!(
            modified(&source).is_some_and(|modified| modified <= built),
            "{} is older than {}; run `cargo build --workspace` first",
            program.display(),
            source.display(),
        );
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// How a program ended and what it printed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Standard output of a run that went well.
    pub(crate) fn ok(self) -> String {
        assert!(self.code == Some(0), "{self:#?}");
        self.stdout
    }
}

/// Runs a program to its end, without anything of this process' environment but the path.
pub(crate) async fn run(mut command: Command) -> Run {
    let path = env::var_os("PATH").unwrap_or_default();
    let named: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    command.env_clear().env("PATH", path).env("TZ", "UTC").env("GIT_CONFIG_NOSYSTEM", "1");
    command.envs(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let description = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    Run::of(&output.unwrap_or_else(|error| panic!("{description}: {error}")))
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}
