//! Git objects as bytes: ids, kinds, and the encoding of a commit.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use uuid::Uuid;

use release_core::Person;

/// The id of a git object: a SHA-1. Displays as 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId([u8; 20]);

impl ObjectId {
    pub(crate) fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    pub(crate) fn of(kind: Kind, data: &[u8]) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(kind.name());
        hasher.update(format!(" {}\0", data.len()));
        hasher.update(data);
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for ObjectId {
    type Err = git2::Error;

    /// Of 40 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, git2::Error> {
        git2::Oid::from_str(text).map(Self::from)
    }
}

impl From<git2::Oid> for ObjectId {
    fn from(oid: git2::Oid) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(oid.as_bytes());
        Self(bytes)
    }
}

impl From<ObjectId> for git2::Oid {
    fn from(id: ObjectId) -> Self {
        Self::from_bytes(&id.0).expect("20 bytes are an object id")
    }
}

/// The kinds of objects that are written; the number is the one in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }
}

/// The header line of a commit that holds the id of the release it is. Git and
/// the hosting services keep headers they do not know; the message stays as the field expects it.
const RELEASE_ID_HEADER: &str = "release-id";

/// A commit to write.
pub(crate) struct NewCommit<'a> {
    pub(crate) tree: ObjectId,
    pub(crate) parent: Option<ObjectId>,
    pub(crate) author: &'a Person,
    pub(crate) committer: &'a Person,
    /// Seconds since 1970.
    pub(crate) time: i64,
    pub(crate) release_id: Option<Uuid>,
    pub(crate) message: &'a str,
}

impl NewCommit<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        use std::fmt::Write as _;
        let mut text = format!("tree {}\n", self.tree);
        if let Some(parent) = self.parent {
            let _ = writeln!(text, "parent {parent}");
        }
        for (role, person) in [("author", self.author), ("committer", self.committer)] {
            // Git wants a name in front of the address.
            let name = if person.is_unknown() { "unknown" } else { person.display_name() };
            let _ = writeln!(text, "{role} {name} <{}> {} +0000", person.email(), self.time);
        }
        if let Some(id) = self.release_id {
            let _ = writeln!(text, "{RELEASE_ID_HEADER} {id}");
        }
        text.push('\n');
        text.push_str(&self.message.replace('\0', ""));
        text.into_bytes()
    }
}

/// What is read from a commit.
#[derive(Debug, Clone)]
pub(crate) struct CommitData {
    pub(crate) tree: ObjectId,
    pub(crate) parent: Option<ObjectId>,
    pub(crate) committer: Person,
    /// Seconds since 1970.
    pub(crate) time: i64,
    pub(crate) release_id: Option<Uuid>,
    pub(crate) message: String,
}

impl From<&git2::Commit<'_>> for CommitData {
    fn from(commit: &git2::Commit<'_>) -> Self {
        let committer = commit.committer();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            tree: commit.tree_id().into(),
            parent: commit.parent_id(0).ok().map(ObjectId::from),
            committer: Person::new(&text(committer.name_bytes()), &text(committer.email_bytes())),
            time: commit.time().seconds(),
            release_id: release_id(commit.raw_header_bytes()),
            message: text(commit.message_raw_bytes()),
        }
    }
}

fn release_id(header: &[u8]) -> Option<Uuid> {
    header.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(RELEASE_ID_HEADER.as_bytes())?.strip_prefix(b" ")?;
        Uuid::try_parse_ascii(value).ok()
    })
}
