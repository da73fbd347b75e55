//! Patterns for branch names, and the restrictions that the server has for all services.

use std::{fmt, str::FromStr};

use ::regex::{Regex, RegexBuilder};

use crate::{Name, NameError};

/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 512;
/// The most memory that one compiled pattern takes, in bytes. It bounds the time of compiling and matching, too.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// A longer branch name matches nothing: matching takes time in proportion. In bytes.
const MAX_BRANCH_BYTES: usize = 1024;

/// A pattern that matches anywhere in a branch name unless it is anchored. RE2's syntax; matches
/// in linear time, whatever the pattern.
#[derive(Debug, Clone)]
pub struct BranchRegex(Regex);

/// Why a text is no pattern. Reads on after the name of a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    #[error("must not be empty")]
    Empty,
    #[error("must not be longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    #[error("is too complex: it would take more than {} KiB", MAX_COMPILED_BYTES >> 10)]
    TooComplex,
    #[error("is not a regular expression: {0}")]
    Syntax(String),
}

impl BranchRegex {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        if pattern.is_empty() {
            return Err(RegexError::Empty);
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(RegexError::TooLong);
        }
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES);
        builder.build().map(Self).map_err(|error| match error {
            ::regex::Error::CompiledTooBig(_) => RegexError::TooComplex,
            other => RegexError::Syntax(last_line(&other.to_string())),
        })
    }

    pub fn allows(&self, branch: &str) -> bool {
        branch.len() <= MAX_BRANCH_BYTES && self.0.is_match(branch)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The library draws the pattern with a mark below; what is wrong comes last.
fn last_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Restrictions for all services: `prod=^master$,dev=^(master|develop)$`.
#[derive(Debug, Clone, Default)]
pub struct GlobalRestrictions(Vec<(Name, BranchRegex)>);

/// Why a text is no list of restrictions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobalRestrictionsError {
    #[error("'{0}' is not like <environment>=<branch regex>")]
    Form(String),
    #[error("the environment '{0}' {1}")]
    Environment(String, NameError),
    #[error("the environment '{0}' is there twice")]
    Twice(Name),
    #[error("the branch regex of '{0}' {1}")]
    Regex(Name, RegexError),
}

impl GlobalRestrictions {
    pub fn get(&self, environment: &Name) -> Option<&BranchRegex> {
        self.iter().find(|(name, _)| *name == environment).map(|(_, regex)| regex)
    }

    /// In the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &BranchRegex)> {
        self.0.iter().map(|(environment, regex)| (environment, regex))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As it is written in the flag.
impl fmt::Display for GlobalRestrictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (environment, regex)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{environment}={}", regex.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for GlobalRestrictions {
    type Err = GlobalRestrictionsError;

    fn from_str(text: &str) -> Result<Self, GlobalRestrictionsError> {
        use GlobalRestrictionsError::{Environment, Form, Regex, Twice};
        let mut restrictions = Self::default();
        for part in split(text).into_iter().map(str::trim).filter(|part| !part.is_empty()) {
            let (environment, pattern) = part.split_once('=').ok_or_else(|| Form(part.to_owned()))?;
            let environment =
                Name::new(environment.trim()).map_err(|error| Environment(environment.to_owned(), error))?;
            let regex = BranchRegex::new(pattern).map_err(|error| Regex(environment.clone(), error))?;
            if restrictions.get(&environment).is_some() {
                return Err(Twice(environment));
            }
            restrictions.0.push((environment, regex));
        }
        Ok(restrictions)
    }
}

/// Splits at the commas that are not part of a pattern: not escaped, and outside of all brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut is_class, mut is_escaped) = (0, 0_usize, false, false);
    for (index, c) in text.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match c {
            '\\' => is_escaped = true,
            ']' => is_class = false,
            _ if is_class => {}
            '[' => is_class = true,
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_pattern_matches_anywhere_unless_it_is_anchored() {
        for (pattern, branch, expected) in [
            ("master", "master", true),
            ("master", "refactor-master-worker", true),
            ("^master$", "refactor-master-worker", false),
            ("^master$", "master\n", false),
            ("^(master|hotfix/.+)$", "hotfix/17", true),
            (r"^(master|hotfix\/.+)$", "hotfix/17", true),
            ("^(master|hotfix/.+)$", "hotfix/", false),
            ("^v[0-9]{1,3}$", "v12", true),
            ("^master$", "Master", false),
            ("(?i)^master$", "Master", true),
            ("^master$", "", false),
            (r"^\w+$", "blåbær", true),
        ] {
            assert_eq!(BranchRegex::new(pattern).unwrap().allows(branch), expected, "{pattern} {branch:?}");
        }
        assert!(!BranchRegex::new(".").unwrap().allows(&"x".repeat(MAX_BRANCH_BYTES + 1)));
    }

    #[test]
    fn what_is_no_pattern_says_why_on_one_line() {
        let long = "x".repeat(MAX_PATTERN_BYTES + 1);
        for (pattern, problem) in [
            ("", "must not be empty"),
            (&long, "must not be longer than 512 bytes"),
            ("(", "is not a regular expression: unclosed group"),
            ("a{2,1}", "is not a regular expression: invalid repetition count range"),
            (r"(a)\1", "is not a regular expression: backreferences are not supported"),
            ("(?=a)", "is not a regular expression: look-around"),
            ("(a{100}){100}{100}", "is too complex"),
            (r"(\w{100}){10}", "is too complex"),
        ] {
            let message = BranchRegex::new(pattern).unwrap_err().to_string();
            assert!(message.starts_with(problem) && !message.contains('\n'), "{pattern:.20}: {message}");
        }
    }

    #[test]
    fn patterns_that_explode_elsewhere_take_no_time_here() {
        let branch = "a".repeat(MAX_BRANCH_BYTES - 1) + "!";
        let start = Instant::now();
        for pattern in
            ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)*$b", "(a?){60}a{60}b", "(x+x+)+y", "([a-z]+)*=\\d"]
        {
            if let Ok(regex) = BranchRegex::new(pattern) {
                assert!(!regex.allows(&branch), "{pattern}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn a_list_of_restrictions_is_read_with_commas_inside_of_patterns() {
        for (text, expected) in [
            ("", vec![]),
            (" , ", vec![]),
            ("prod=^master$", vec![("prod", "^master$")]),
            (
                "prod=^master$, dev=^(master|develop)$",
                vec![("prod", "^master$"), ("dev", "^(master|develop)$")],
            ),
            ("prod=^v[0-9]{1,3}$,dev=x", vec![("prod", "^v[0-9]{1,3}$"), ("dev", "x")]),
            ("prod=^(a,b|c)$,dev=x", vec![("prod", "^(a,b|c)$"), ("dev", "x")]),
            ("prod=^a[,)(]b$,dev=x", vec![("prod", "^a[,)(]b$"), ("dev", "x")]),
            (r"prod=^a\,b\($,dev=x", vec![("prod", r"^a\,b\($"), ("dev", "x")]),
            (r"prod=^a[\],]$,dev=x", vec![("prod", r"^a[\],]$"), ("dev", "x")]),
            ("prod=^a=b$", vec![("prod", "^a=b$")]),
        ] {
            let restrictions: GlobalRestrictions = text.parse().unwrap();
            let found: Vec<_> =
                restrictions.iter().map(|(name, regex)| (name.as_str(), regex.as_str())).collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(restrictions.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn a_list_that_is_wrong_says_where() {
        for (text, problem) in [
            ("prod", "'prod' is not like <environment>=<branch regex>"),
            ("prod=a,b", "'b' is not like <environment>=<branch regex>"),
            ("=a", "the environment '' must not be empty"),
            ("../x=a", "the environment '../x' must not contain '/' or '\\'"),
            ("prod=", "the branch regex of 'prod' must not be empty"),
            ("prod=(", "the branch regex of 'prod' is not a regular expression: unclosed group"),
            ("prod=a,dev=b,prod=c", "the environment 'prod' is there twice"),
        ] {
            assert_eq!(text.parse::<GlobalRestrictions>().unwrap_err().to_string(), problem, "{text}");
        }
    }

    #[test]
    fn a_list_is_shown_as_it_was_written() {
        let text = "prod=^master$,dev=^(master|develop)$";
        assert_eq!(text.parse::<GlobalRestrictions>().unwrap().to_string(), text);
    }
}
