//! Live values for the shell's completion: never an error, never a long wait.

use std::{collections::BTreeSet, ffi::OsString, path::Path, time::Duration};

use clap::CommandFactory as _;
use clap_complete::{CompleteEnv, CompletionCandidate};
use release_client::Client;

use crate::{
    args::{Cli, GlobalArgs},
    commands::block_on,
    context, login, shuttle,
};

/// Set by the completion scripts. Not `COMPLETE`, which other programs may set for themselves.
pub(crate) const SHELL_VARIABLE: &str = "_HAMCTL_COMPLETE";
/// Somebody waits with a finger on the tab key.
const PATIENCE: Duration = Duration::from_secs(1);
const ARTIFACTS: u32 = 30;

/// Answers and ends the process when a completion script asks; else does nothing.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(SHELL_VARIABLE).complete();
}

pub(crate) fn environments() -> Vec<CompletionCandidate> {
    ask(async |client| Some(client.environments().await.ok()?.environments))
}

pub(crate) fn services() -> Vec<CompletionCandidate> {
    ask(async |client| Some(client.services().await.ok()?.services))
}

pub(crate) fn branches() -> Vec<CompletionCandidate> {
    ask(async |client| {
        let artifacts = client.describe_artifacts(&service()?, ARTIFACTS, "").await.ok()?.artifacts;
        let branches: BTreeSet<_> =
            artifacts.into_iter().map(|artifact| artifact.application.branch).collect();
        Some(branches.into_iter().collect())
    })
}

pub(crate) fn artifacts() -> Vec<CompletionCandidate> {
    ask(async |client| {
        let artifacts = client.describe_artifacts(&service()?, ARTIFACTS, "").await.ok()?.artifacts;
        Some(artifacts.into_iter().map(|artifact| artifact.id).collect())
    })
}

pub(crate) fn policies() -> Vec<CompletionCandidate> {
    ask(async |client| {
        let policies = client.policies(&service()?).await.ok()?;
        let auto_releases = policies.auto_releases.into_iter().map(|policy| policy.id);
        // Those for all services have none.
        let restrictions = policies.branch_restrictions.into_iter().map(|policy| policy.id);
        Some(auto_releases.chain(restrictions).collect())
    })
}

fn ask(values: impl AsyncFnOnce(Client) -> Option<Vec<String>>) -> Vec<CompletionCandidate> {
    let values = async {
        let client = context::client(&global_args()?, login::known_credentials()).ok()?;
        tokio::time::timeout(PATIENCE, values(client)).await.ok()?
    };
    let values = block_on(values).ok().flatten().unwrap_or_default();
    // A control character in a name would reach the terminal through the shell.
    let harmless = values.into_iter().filter(|value| !value.is_empty() && !value.contains(char::is_control));
    harmless.map(CompletionCandidate::new).collect()
}

fn global_args() -> Option<GlobalArgs> {
    let url = typed("--http-base-url").or_else(|| std::env::var("HAMCTL_URL").ok())?;
    Some(GlobalArgs { http_base_url: Some(url), http_timeout: PATIENCE, service: None })
}

fn service() -> Option<String> {
    let variable = || std::env::var("HAMCTL_SERVICE").ok().filter(|name| !name.is_empty());
    let file = || shuttle::read(Path::new(shuttle::FILE_NAME)).ok()?.service;
    typed("--service").or_else(variable).or_else(file)
}

/// The value that a flag has on the command line being completed. It may be
/// incomplete, so clap cannot parse it.
fn typed(flag: &str) -> Option<String> {
    value_of(flag, std::env::args_os())
}

fn value_of(flag: &str, words: impl IntoIterator<Item = OsString>) -> Option<String> {
    let mut words = words.into_iter().filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix(flag) {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        if value.as_ref().is_some_and(|value| !value.is_empty()) {
            return value;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_on_a_line_that_is_not_finished() {
        let cases = [
            ("hamctl release --service svc --env", Some("svc")),
            ("hamctl --service=svc release", Some("svc")),
            ("hamctl --services svc", None),
            ("hamctl release --service", None),
        ];
        for (line, expected) in cases {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(value_of("--service", words).as_deref(), expected, "{line}");
        }
    }
}
