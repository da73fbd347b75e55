//! Whom a git e-mail address belongs to in Slack.

use std::{collections::BTreeMap, str::FromStr};

/// The company's e-mail addresses: people in Slack have one of these.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// `None`: every address is one of the company's.
    pub email_suffix: Option<String>,
    pub mappings: UserMappings,
}

/// Git addresses and the company addresses of the same people: `a@b=c@d,…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserMappings(BTreeMap<String, String>);

/// Why a text is no list of mappings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no pair of addresses; write them like jane@home.example=jane@company.example,…")]
pub struct UserMappingsError(String);

impl FromStr for UserMappings {
    type Err = UserMappingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (from, to) = pair.split_once('=').unwrap_or((pair, ""));
                let (from, to) = (from.trim(), to.trim());
                let is_pair = from.contains('@') && to.contains('@') && !to.contains('=');
                let pair = is_pair.then(|| (from.to_lowercase(), to.to_owned()));
                pair.ok_or_else(|| UserMappingsError(format!("{from}={to}")))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl People {
    /// The company's address of whoever has this one; `None` when nobody is known.
    pub fn company_email<'a>(&'a self, email: &'a str) -> Option<&'a str> {
        let lower = email.to_lowercase();
        let suffix = self.email_suffix.as_deref().unwrap_or_default().to_lowercase();
        let is_inside = !suffix.is_empty() && lower.ends_with(&suffix);
        if is_inside {
            return Some(email);
        }
        let everybody = suffix.is_empty() && !email.is_empty();
        self.mappings.0.get(&lower).map(String::as_str).or_else(|| everybody.then_some(email))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_outside_are_mapped_or_nobody() {
        let mappings: UserMappings = "Jane@home.io=jane@corp.io, x@corp.io=y@corp.io".parse().unwrap();
        let with_suffix = People { email_suffix: Some("@corp.io".into()), mappings: mappings.clone() };
        let without = People { email_suffix: None, mappings };
        for (people, email, expected) in [
            (&with_suffix, "joe@corp.io", Some("joe@corp.io")),
            (&with_suffix, "JOE@CORP.IO", Some("JOE@CORP.IO")),
            (&with_suffix, "jane@HOME.io", Some("jane@corp.io")),
            (&with_suffix, "x@corp.io", Some("x@corp.io")),
            (&with_suffix, "eve@evil.io", None),
            (&with_suffix, "joe@corp.io.evil.io", None),
            (&with_suffix, "", None),
            (&without, "jane@home.io", Some("jane@corp.io")),
            (&without, "joe@anywhere.io", Some("joe@anywhere.io")),
            (&without, "", None),
        ] {
            assert_eq!(people.company_email(email), expected, "{email}");
        }
    }

    #[test]
    fn what_is_no_pair_is_named() {
        assert_eq!("".parse(), Ok(UserMappings::default()));
        for (text, named) in [("a@b", "'a@b='"), ("a@b=c@d,x=y", "'x=y'"), ("a@b=c@d=e@f", "'a@b=c@d=e@f'")] {
            let error = text.parse::<UserMappings>().unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
