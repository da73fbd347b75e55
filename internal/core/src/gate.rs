//! May this artifact go to this environment now? The one place that answers it.

use crate::{
    Name,
    policy::{FileError, GlobalRestrictions, Policies},
};

/// An artifact that wants to go somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// That the artifact was built from.
    pub branch: &'a str,
    pub environment: &'a Name,
}

/// What decides about it.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub global: &'a GlobalRestrictions,
    /// Of the artifact's service. Ones that cannot be read forbid everything: nobody knows what they say.
    pub policies: Result<&'a Policies, &'a FileError>,
}

/// Every reason why it may not, each a sentence for people; none when it may.
pub fn refusals(candidate: Candidate<'_>, rules: Rules<'_>) -> Vec<String> {
    match rules.policies {
        Ok(policies) => branch_refusal(candidate, policies, rules.global).into_iter().collect(),
        Err(unreadable) => {
            let restricted = branch_refusal(candidate, &Policies::default(), rules.global);
            restricted.into_iter().chain([unreadable.to_string()]).collect()
        }
    }
}

fn branch_refusal(
    candidate: Candidate<'_>,
    policies: &Policies,
    global: &GlobalRestrictions,
) -> Option<String> {
    let Candidate { branch, environment } = candidate;
    match policies.restriction(environment, global) {
        Ok(Some(restriction)) if !restriction.regex.allows(branch) => {
            Some(restriction.refusal(branch, environment))
        }
        Ok(_) => None,
        Err(unreadable) => Some(unreadable.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    #[test]
    fn every_reason_is_given() {
        const LOCAL: &str = "policy 'branch-restriction-prod' wants a branch that matches '^master$'";
        const GLOBAL: &str = "the server's restriction for all services wants a branch that matches '^main$'";
        const UNREADABLE: &str = "the policy file policies/svc.json cannot be used";
        let restricted = r#"{"branchRestrictions":[{"id":"branch-restriction-prod","branchRegex":"^master$","environment":"prod"}]}"#;
        let broken_regex = r#"{"branchRestrictions":[{"id":"branch-restriction-prod","branchRegex":"(","environment":"prod"}]}"#;
        for (file, global, branch, environment, expected) in [
            ("{}", "", "anything", "prod", &[][..]),
            (restricted, "", "master", "prod", &[]),
            (restricted, "", "feature/x", "dev", &[]),
            (restricted, "", "feature/x", "prod", &[LOCAL]),
            (restricted, "", "", "prod", &[LOCAL]),
            // Global wins over local, in both directions.
            (restricted, "prod=^main$", "master", "prod", &[GLOBAL]),
            (restricted, "prod=^main$", "main", "prod", &[]),
            (restricted, "dev=^main$", "feature/x", "prod", &[LOCAL]),
            // What cannot be read forbids.
            ("{", "", "master", "dev", &[UNREADABLE]),
            ("{", "prod=^main$", "master", "prod", &[GLOBAL, UNREADABLE]),
            ("{", "prod=^main$", "main", "prod", &[UNREADABLE]),
            (broken_regex, "", "master", "prod", &[UNREADABLE]),
            (broken_regex, "", "master", "dev", &[]),
            (broken_regex, "prod=^main$", "main", "prod", &[]),
        ] {
            let policies = Policies::from_file(&name("svc"), file.as_bytes());
            let environment = &name(environment);
            let rules = Rules { global: &global.parse().unwrap(), policies: policies.as_ref() };
            let found = refusals(Candidate { branch, environment }, rules);
            assert_eq!(found.len(), expected.len(), "{file} {global} {branch}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}");
            }
        }
    }
}
