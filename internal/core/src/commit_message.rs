//! Commit messages of the config repository: written in one form, read in
//! every form that older versions wrote.

use std::fmt::{self, Write as _};

use crate::{Intent, Person};

/// The message of a release commit.
///
/// Rendering and parsing are inverse for values that hold no line breaks, no
/// leading or trailing blanks, and names that are valid as [`crate::Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseMessage {
    pub environment: String,
    pub service: String,
    pub artifact_id: String,
    pub released_by: Person,
    /// The author of the artifact; unknown in old commits.
    pub created_by: Person,
    pub intent: Intent,
}

const SERVICE: &str = "Service";
const ENVIRONMENT: &str = "Environment";
const ARTIFACT_ID: &str = "Artifact-ID";
const RELEASED_BY: &str = "Artifact-released-by";
const CREATED_BY: &str = "Artifact-created-by";
const INTENT: &str = "Release-intent";
const BRANCH: &str = "Release-of-branch";
const FROM_ENVIRONMENT: &str = "Promoted-from-environment";
const PREVIOUS_ARTIFACT: &str = "Rollback-of-artifact-id";

/// The message as it is committed, with a trailing newline.
impl fmt::Display for ReleaseMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, service, artifact_id, released_by, created_by, intent } = self;
        let verb = match intent {
            Intent::Rollback { .. } => "rollback",
            Intent::AutoRelease => "auto release",
            _ => "release",
        };
        let releaser = released_by.email();
        writeln!(f, "[{environment}/{service}] {verb} {artifact_id} by {releaser}")?;
        f.write_char('\n')?;
        writeln!(f, "{SERVICE}: {service}")?;
        writeln!(f, "{ENVIRONMENT}: {environment}")?;
        writeln!(f, "{ARTIFACT_ID}: {artifact_id}")?;
        writeln!(f, "{RELEASED_BY}: {released_by}")?;
        writeln!(f, "{CREATED_BY}: {created_by}")?;
        writeln!(f, "{INTENT}: {}", intent.kind())?;
        match intent {
            Intent::ReleaseBranch { branch } => writeln!(f, "{BRANCH}: {branch}"),
            Intent::Promote { from_environment } => writeln!(f, "{FROM_ENVIRONMENT}: {from_environment}"),
            Intent::Rollback { previous_artifact_id } => {
                writeln!(f, "{PREVIOUS_ARTIFACT}: {previous_artifact_id}")
            }
            Intent::ReleaseArtifact | Intent::AutoRelease => Ok(()),
        }
    }
}

impl ReleaseMessage {
    /// Reads a commit message; `None` when it is not one of a release.
    pub fn parse(message: &str) -> Option<Self> {
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        let title = Title::parse(first.trim_end())?;
        let trailer = |key: &str| find_trailer(rest, key);

        let artifact_id = trailer(ARTIFACT_ID).filter(|id| !id.is_empty());
        let released_by = match trailer(RELEASED_BY) {
            Some(person) => Person::parse(person),
            None => Person::new("", title.releaser),
        };
        let kind = trailer(INTENT).unwrap_or(title.intent_kind);
        let detail = match kind {
            "ReleaseBranch" => trailer(BRANCH),
            "Promote" => trailer(FROM_ENVIRONMENT),
            "Rollback" => trailer(PREVIOUS_ARTIFACT).or(title.previous_artifact_id),
            _ => None,
        };
        Some(Self {
            environment: title.environment.to_owned(),
            service: title.service.to_owned(),
            artifact_id: artifact_id.unwrap_or(title.artifact_id).to_owned(),
            released_by,
            created_by: trailer(CREATED_BY).map(Person::parse).unwrap_or_default(),
            intent: Intent::from_kind(kind, detail.unwrap_or_default()).unwrap_or(Intent::ReleaseArtifact),
        })
    }
}

/// `[env/service] verb artifact-id by email`, the first line.
struct Title<'a> {
    environment: &'a str,
    service: &'a str,
    artifact_id: &'a str,
    releaser: &'a str,
    intent_kind: &'static str,
    previous_artifact_id: Option<&'a str>,
}

impl<'a> Title<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (scope, rest) = line.strip_prefix('[')?.split_once("] ")?;
        let (environment, service) = scope.split_once('/')?;
        if environment.is_empty() || service.is_empty() || service.contains('/') {
            return None;
        }
        let (intent_kind, rest) = if let Some(rest) = rest.strip_prefix("release ") {
            ("ReleaseArtifact", rest)
        } else if let Some(rest) = rest.strip_prefix("auto release ") {
            ("AutoRelease", rest)
        } else {
            ("Rollback", rest.strip_prefix("rollback ")?)
        };
        let (what, releaser) = match rest.rsplit_once(" by ") {
            Some((what, releaser)) => (what, releaser),
            // An unknown releaser leaves nothing behind the word once the line's end is trimmed.
            None => (rest.strip_suffix(" by").unwrap_or(rest), ""),
        };
        let (previous, artifact_id) = match what.split_once(" to ") {
            Some((old, new)) if intent_kind == "Rollback" => (Some(old.trim()), new),
            _ => (None, what),
        };
        let artifact_id = artifact_id.trim();
        (!artifact_id.is_empty()).then_some(Self {
            environment,
            service,
            artifact_id,
            releaser,
            intent_kind,
            previous_artifact_id: previous,
        })
    }
}

/// The value of the last line `key: value`; the key compares without case.
/// Last, because a description in front of the trailers may hold such a line too.
fn find_trailer<'a>(body: &'a str, key: &str) -> Option<&'a str> {
    body.lines().rev().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(intent: Intent) -> ReleaseMessage {
        ReleaseMessage {
            environment: "dev".into(),
            service: "svc".into(),
            artifact_id: "master-1-2".into(),
            released_by: Person::new("Jane Doe", "jane@x.io"),
            created_by: Person::new("John Roe", "john@x.io"),
            intent,
        }
    }

    #[test]
    fn a_promotion_renders_as_specified() {
        let text = message(Intent::Promote { from_environment: "dev".into() }).to_string();
        assert_eq!(
            text,
            "[dev/svc] release master-1-2 by jane@x.io\n\n\
             Service: svc\nEnvironment: dev\nArtifact-ID: master-1-2\n\
             Artifact-released-by: Jane Doe <jane@x.io>\nArtifact-created-by: John Roe <john@x.io>\n\
             Release-intent: Promote\nPromoted-from-environment: dev\n"
        );
    }

    #[test]
    fn the_verb_and_the_last_line_follow_the_intent() {
        let cases = [
            (Intent::ReleaseArtifact, "release", "Release-intent: ReleaseArtifact"),
            (Intent::ReleaseBranch { branch: "a/b".into() }, "release", "Release-of-branch: a/b"),
            (
                Intent::Rollback { previous_artifact_id: "m-0".into() },
                "rollback",
                "Rollback-of-artifact-id: m-0",
            ),
            (Intent::AutoRelease, "auto release", "Release-intent: AutoRelease"),
        ];
        for (intent, verb, last) in cases {
            let text = message(intent).to_string();
            assert!(text.starts_with(&format!("[dev/svc] {verb} master-1-2 by jane@x.io\n\n")), "{text}");
            assert_eq!(text.lines().last(), Some(last));
        }
    }

    #[test]
    fn older_forms_are_understood() {
        let jane = Person::new("", "jane@x.io");
        let with_trailers = "Service: svc\nEnvironment: dev\nArtifact-ID: master-1-2\n\
            Artifact-released-by: Jane Doe <jane@x.io>\nArtifact-created-by: John Roe <john@x.io>\n";
        let cases = [
            // Title only.
            ("[dev/svc] release master-1-2 by jane@x.io".to_owned(), jane.clone(), Intent::ReleaseArtifact),
            ("[dev/svc] release master-1-2".to_owned(), Person::default(), Intent::ReleaseArtifact),
            (
                "[dev/svc] auto release master-1-2 by jane@x.io\n".to_owned(),
                jane.clone(),
                Intent::AutoRelease,
            ),
            (
                "[dev/svc] rollback master-0-0 to master-1-2 by jane@x.io".to_owned(),
                jane,
                Intent::Rollback { previous_artifact_id: "master-0-0".into() },
            ),
            (
                "[dev/svc] rollback master-0-0 to master-1-2".to_owned(),
                Person::default(),
                Intent::Rollback { previous_artifact_id: "master-0-0".into() },
            ),
            // Trailers directly under the title, and with a description in between.
            (
                format!("[dev/svc] release master-1-2 by jane@x.io\n{with_trailers}"),
                Person::new("Jane Doe", "jane@x.io"),
                Intent::ReleaseArtifact,
            ),
            (
                format!(
                    "[dev/svc] release master-1-2 by jane@x.io\n\nBecause: of\nService: a word\n\n{with_trailers}"
                ),
                Person::new("Jane Doe", "jane@x.io"),
                Intent::ReleaseArtifact,
            ),
        ];
        for (text, released_by, intent) in cases {
            let parsed = ReleaseMessage::parse(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((parsed.environment.as_str(), parsed.service.as_str()), ("dev", "svc"), "{text}");
            assert_eq!(parsed.artifact_id, "master-1-2", "{text}");
            assert_eq!(parsed.released_by, released_by, "{text}");
            assert_eq!(parsed.intent, intent, "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_release() {
        for text in [
            "",
            "fix the build",
            "[dev/svc] artifact master-1-2 by jane@x.io",
            "[svc] policy update: apply auto-release in 'dev'",
            "[svc] policy update: delete policies",
            "[dev/svc]",
            "[dev/svc] release ",
            "[dev/svc] release  by jane@x.io",
            "[/svc] release a",
            "[dev/] release a",
            "[dev/a/b] release a",
            "Merge branch 'x'\n\n[dev/svc] release a",
        ] {
            assert_eq!(ReleaseMessage::parse(text), None, "{text:?}");
        }
    }

    fn any_name() -> impl Strategy<Value = String> {
        "\\PC{1,12}".prop_filter("valid names", |name| crate::Name::new(name).is_ok())
    }

    fn any_person() -> impl Strategy<Value = Person> {
        ("\\PC{0,20}", "[a-zA-Z0-9.+_-]{0,10}@?[a-z.]{0,8}")
            .prop_map(|(name, email)| Person::new(&name, &email))
    }

    fn any_intent() -> impl Strategy<Value = Intent> {
        let detail = "[a-zA-Z0-9/._-]{0,16}";
        prop_oneof![
            Just(Intent::ReleaseArtifact),
            Just(Intent::AutoRelease),
            detail.prop_map(|branch| Intent::ReleaseBranch { branch }),
            detail.prop_map(|from_environment| Intent::Promote { from_environment }),
            detail.prop_map(|previous_artifact_id| Intent::Rollback { previous_artifact_id }),
        ]
    }

    proptest! {
        #[test]
        fn parse_is_the_inverse_of_render(
            environment in any_name(), service in any_name(), artifact_id in any_name(),
            released_by in any_person(), created_by in any_person(), intent in any_intent(),
        ) {
            let message = ReleaseMessage { environment, service, artifact_id, released_by, created_by, intent };
            prop_assert_eq!(ReleaseMessage::parse(&message.to_string()), Some(message));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*|(\\[|\\]|/| |release|rollback|auto|by|to|:|\n|\r|Service|é|\u{0}){0,40}") {
            let _ = ReleaseMessage::parse(&text);
        }
    }
}
