//! A person, as git and the API know them.

use serde::{Deserialize, Serialize};

/// Name and e-mail address of somebody. Both may be empty when unknown.
///
/// The constructor drops what would break a commit header or a trailer line:
/// control characters and angle brackets. What remains can be written and read
/// back unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Wire")]
pub struct Person {
    // In the order of the wire.
    #[serde(rename = "Email")]
    email: String,
    #[serde(rename = "Name")]
    name: String,
}

/// As it comes from others: it goes through the constructor too.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Wire {
    name: String,
    email: String,
}

impl From<Wire> for Person {
    fn from(wire: Wire) -> Self {
        Self::new(&wire.name, &wire.email)
    }
}

impl Person {
    pub fn new(name: &str, email: &str) -> Self {
        Self { name: one_line(name), email: one_line(email).replace(char::is_whitespace, "") }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn email(&self) -> &str {
        &self.email
    }

    pub fn is_unknown(&self) -> bool {
        self.name.is_empty() && self.email.is_empty()
    }

    /// `Jane Doe`, or the address where there is no name.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.email } else { &self.name }
    }

    /// Reads `Name <email>`, the form of commit trailers. A text without angle brackets is a name.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once('<') {
            Some((name, rest)) => Self::new(name, rest.split('>').next().unwrap_or(rest)),
            None => Self::new(text, ""),
        }
    }
}

/// `Jane Doe <jane@example.com>`
impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control() || c == '<' || c == '>', "").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_commit_is_dropped() {
        let person = Person::new("Eve\n<root>", " eve@example.com>\nService: other ");
        assert_eq!(person.to_string(), "Everoot <eve@example.comService:other>");
        let from_others: Person = serde_json::from_str(r#"{"Name":"Eve\nService: other"}"#).unwrap();
        assert_eq!(from_others, Person::new("EveService: other", ""));
    }

    #[test]
    fn display_and_parse_agree() {
        for (name, email) in [("Jane Doe", "j@x.io"), ("", "j@x.io"), ("Jane", ""), ("", "")] {
            let person = Person::new(name, email);
            assert_eq!(Person::parse(&person.to_string()), person);
        }
    }
}
