//! Policies of a service: which branches are released to an environment by themselves, and which
//! branches may go there at all. They are one file for each service in the config repository.

mod regex;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::regex::{BranchRegex, GlobalRestrictions, GlobalRestrictionsError, RegexError};
use crate::Name;

/// The longest policy file that is read, in bytes. Real ones have less than a thousand.
pub const MAX_FILE_BYTES: usize = 256 << 10;
/// The most policies of each kind in one file.
pub const MAX_POLICIES: usize = 200;

const AUTO_RELEASES: &str = "autoReleases";
const BRANCH_RESTRICTIONS: &str = "branchRestrictions";

/// What `policies/<service>.json` holds: at most one policy of each kind for an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policies {
    #[serde(default)]
    service: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    auto_releases: Vec<AutoRelease>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    branch_restrictions: Vec<BranchRestriction>,
}

/// New artifacts of the branch are released to the environment by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoRelease {
    pub id: String,
    pub branch: String,
    pub environment: Name,
}

/// Only artifacts of branches that match may go to the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BranchRestriction {
    pub id: String,
    /// Not checked before it is needed: one that is broken concerns its own environment only.
    pub branch_regex: String,
    pub environment: Name,
}

/// A restriction that counts, after the global ones have won over those of the service.
#[derive(Debug, Clone)]
pub struct Restriction {
    /// `None` for a global one.
    pub id: Option<String>,
    pub regex: BranchRegex,
}

/// Why the policies of a service cannot be read. No other service is concerned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy file {file} cannot be used: {problem}; correct it in the config repository")]
pub struct FileError {
    pub file: String,
    /// Begins with the field, where it is one.
    pub problem: String,
}

/// Why a policy cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// With all policies that are in the way.
    #[error("the policy is in conflict with others: {}", .0.join("; "))]
    Conflict(Vec<String>),
    #[error("service '{0}' has {MAX_POLICIES} policies of this kind already; delete some first")]
    TooMany(String),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Where the policies of a service are.
pub fn file_path(service: &Name) -> String {
    format!("policies/{service}.json")
}

/// The message of a commit that applies a policy of this kind: `auto-release` or `branch-restriction`.
pub fn apply_message(service: &Name, kind: &str, environment: &Name) -> String {
    format!("[{service}] policy update: apply {kind} in '{environment}'\n")
}

pub fn delete_message(service: &Name) -> String {
    format!("[{service}] policy update: delete policies\n")
}

impl AutoRelease {
    pub const KIND: &'static str = "auto-release";

    fn new(branch: &str, environment: &Name) -> Self {
        let id = format!("{}-{branch}-{environment}", Self::KIND);
        Self { id, branch: branch.to_owned(), environment: environment.clone() }
    }
}

impl BranchRestriction {
    pub const KIND: &'static str = "branch-restriction";

    fn new(regex: &BranchRegex, environment: &Name) -> Self {
        let id = format!("{}-{environment}", Self::KIND);
        Self { id, branch_regex: regex.as_str().to_owned(), environment: environment.clone() }
    }
}

impl Policies {
    /// Of a service that has none.
    pub fn none(service: &Name) -> Self {
        Self { service: service.to_string(), ..Self::default() }
    }

    /// Reads the contents of a service's file.
    pub fn from_file(service: &Name, contents: &[u8]) -> Result<Self, FileError> {
        if contents.len() > MAX_FILE_BYTES {
            return Err(file_error(service, format!("it is longer than {MAX_FILE_BYTES} bytes")));
        }
        // A list would do for serde.
        if !contents.trim_ascii_start().starts_with(b"{") {
            return Err(file_error(service, "it is no JSON object".to_owned()));
        }
        let mut json = serde_json::Deserializer::from_slice(contents);
        let mut policies: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| file_error(service, located(&error)))?;
        json.end().map_err(|error| file_error(service, error.to_string()))?;
        policies.check(service)?;
        policies.service = service.to_string();
        Ok(policies)
    }

    fn check(&self, service: &Name) -> Result<(), FileError> {
        check_environments(service, AUTO_RELEASES, self.auto_releases.iter().map(|p| &p.environment))?;
        let restricted = self.branch_restrictions.iter().map(|p| &p.environment);
        check_environments(service, BRANCH_RESTRICTIONS, restricted)
    }

    /// The file's contents: two-space indentation and a trailing newline.
    pub fn to_file(&self) -> String {
        serde_json::to_string_pretty(self).expect("policies have only texts") + "\n"
    }

    pub fn is_empty(&self) -> bool {
        self.auto_releases.is_empty() && self.branch_restrictions.is_empty()
    }

    pub fn auto_releases(&self) -> &[AutoRelease] {
        &self.auto_releases
    }

    /// Those of the service alone; for what counts see [`Policies::restriction`].
    pub fn branch_restrictions(&self) -> &[BranchRestriction] {
        &self.branch_restrictions
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let auto_releases = self.auto_releases.iter().map(|policy| policy.id.as_str());
        auto_releases.chain(self.branch_restrictions.iter().map(|policy| policy.id.as_str()))
    }

    /// The restriction that counts for an environment: the global one, else the service's.
    pub fn restriction(
        &self,
        environment: &Name,
        global: &GlobalRestrictions,
    ) -> Result<Option<Restriction>, FileError> {
        if let Some(regex) = global.get(environment) {
            return Ok(Some(Restriction { id: None, regex: regex.clone() }));
        }
        let mut restrictions = self.branch_restrictions.iter().enumerate();
        let Some((index, found)) = restrictions.find(|(_, policy)| policy.environment == *environment) else {
            return Ok(None);
        };
        let regex = BranchRegex::new(&found.branch_regex).map_err(|error| FileError {
            file: format!("policies/{}.json", self.service),
            problem: format!("{BRANCH_RESTRICTIONS}[{index}].branchRegex: {error}"),
        })?;
        Ok(Some(Restriction { id: Some(found.id.clone()), regex }))
    }

    /// Replaces the environment's auto-release, if it has one. After an error nothing has changed.
    pub fn apply_auto_release(
        &mut self,
        branch: &str,
        environment: &Name,
        global: &GlobalRestrictions,
    ) -> Result<AutoRelease, ApplyError> {
        if let Some(restriction) = self.restriction(environment, global)?
            && !restriction.regex.allows(branch)
        {
            return Err(ApplyError::Conflict(vec![restriction.refusal(branch, environment)]));
        }
        let policy = AutoRelease::new(branch, environment);
        let replaced = self.auto_releases.iter().position(|known| known.environment == *environment);
        put(&mut self.auto_releases, replaced, policy.clone(), &self.service)?;
        Ok(policy)
    }

    /// Replaces the environment's restriction, if it has one. After an error nothing has changed.
    pub fn apply_branch_restriction(
        &mut self,
        regex: &BranchRegex,
        environment: &Name,
        global: &GlobalRestrictions,
    ) -> Result<BranchRestriction, ApplyError> {
        let conflicts = self.conflicts(regex, environment, global);
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflict(conflicts));
        }
        let policy = BranchRestriction::new(regex, environment);
        let replaced = self.branch_restrictions.iter().position(|known| known.environment == *environment);
        put(&mut self.branch_restrictions, replaced, policy.clone(), &self.service)?;
        Ok(policy)
    }

    /// What a new restriction contradicts.
    fn conflicts(&self, regex: &BranchRegex, environment: &Name, global: &GlobalRestrictions) -> Vec<String> {
        let differing = global.get(environment).filter(|global| global.as_str() != regex.as_str());
        let differing = differing.map(|global| {
            format!(
                "the server restricts '{environment}' to branches that match '{}' for all services",
                global.as_str()
            )
        });
        let in_environment = self.auto_releases.iter().filter(|policy| policy.environment == *environment);
        let violated = in_environment.filter(|policy| !regex.allows(&policy.branch)).map(|policy| {
            format!("policy '{}' releases branch '{}', which does not match", policy.id, policy.branch)
        });
        differing.into_iter().chain(violated).collect()
    }

    /// Removes the policies with these ids; how many there were.
    pub fn delete(&mut self, ids: &[String]) -> usize {
        let before = self.auto_releases.len() + self.branch_restrictions.len();
        self.auto_releases.retain(|policy| !ids.contains(&policy.id));
        self.branch_restrictions.retain(|policy| !ids.contains(&policy.id));
        before - self.auto_releases.len() - self.branch_restrictions.len()
    }
}

impl Restriction {
    /// Why the branch may not go to the environment, for people.
    pub fn refusal(&self, branch: &str, environment: &Name) -> String {
        let by = match &self.id {
            Some(id) => format!("policy '{id}'"),
            None => "the server's restriction for all services".to_owned(),
        };
        let pattern = self.regex.as_str();
        format!(
            "branch '{branch}' may not go to '{environment}': {by} wants a branch that matches '{pattern}'"
        )
    }
}

/// In the place of the one that it replaces, else at the end.
fn put<T>(
    policies: &mut Vec<T>,
    replaced: Option<usize>,
    policy: T,
    service: &str,
) -> Result<(), ApplyError> {
    match replaced {
        Some(index) => policies[index] = policy,
        None if policies.len() >= MAX_POLICIES => return Err(ApplyError::TooMany(service.to_owned())),
        None => policies.push(policy),
    }
    Ok(())
}

fn file_error(service: &Name, problem: String) -> FileError {
    FileError { file: file_path(service), problem }
}

/// The problem with the path of its field, which is `.` or `?` where there is none.
fn located(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    if path.contains(char::is_alphanumeric) {
        format!("{path}: {}", error.inner())
    } else {
        error.inner().to_string()
    }
}

fn check_environments<'a>(
    service: &Name,
    field: &str,
    environments: impl Iterator<Item = &'a Name>,
) -> Result<(), FileError> {
    let mut seen = std::collections::HashSet::new();
    for (index, environment) in environments.enumerate() {
        if index >= MAX_POLICIES {
            return Err(file_error(service, format!("{field} has more than {MAX_POLICIES} entries")));
        }
        if !seen.insert(environment) {
            let problem = format!("{field}[{index}].environment: '{environment}' is there twice");
            return Err(file_error(service, problem));
        }
    }
    Ok(())
}

/// Older writers wrote `null` for an empty list.
fn null_is_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
