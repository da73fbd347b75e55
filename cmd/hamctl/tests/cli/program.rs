//! Running hamctl in an empty directory with a cleared environment.

use std::{
    path::Path,
    process::{Child, Output, Stdio},
};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::server::Server;

pub(crate) struct Program {
    home: TempDir,
    environment: Vec<(String, String)>,
    hidden: Vec<(String, &'static str)>,
}

impl Program {
    /// Without a server.
    pub(crate) fn new() -> Self {
        let home = TempDir::new().unwrap();
        let mut program = Self { home, environment: Vec::new(), hidden: Vec::new() };
        program.hidden.push((program.home.path().display().to_string(), "[home]"));
        program.with("HAMCTL_USER_NAME", "Jane Doe").with("HAMCTL_USER_EMAIL", "jane@example.com")
    }

    pub(crate) fn for_server(server: &Server) -> Self {
        let mut program = Self::new().with("HAMCTL_URL", &server.url());
        program.hidden.push((server.url(), "[server]"));
        program
    }

    #[must_use]
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        Command::from_std(self.std_command(program))
    }

    fn std_command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command.env_clear().current_dir(self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("TZ", "UTC").env("GIT_CONFIG_NOSYSTEM", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn hamctl(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_hamctl"))
    }

    /// Runs while the test goes on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.std_command(env!("CARGO_BIN_EXE_hamctl"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Exit code and both streams, with what differs from run to run replaced.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.show(&self.hamctl().args(arguments).output().unwrap())
    }

    pub(crate) fn show(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let mut shown = format!("exit {}\n{stdout}", output.status.code().unwrap());
        if !stderr.is_empty() {
            shown = format!("{shown}-- stderr\n{stderr}");
        }
        for (value, name) in &self.hidden {
            shown = shown.replace(value, name);
        }
        hide_ids(&shown)
    }
}

/// Request ids, which are random.
fn hide_ids(text: &str) -> String {
    let mut result = text.to_owned();
    while let Some((before, after)) = result.split_once("(reference: ")
        && let Some((_, rest)) = after.split_once(')')
    {
        result = format!("{before}(ref: id){rest}");
    }
    result.replace("(ref: id)", "(reference: [id])")
}
