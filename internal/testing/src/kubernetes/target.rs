//! What a URL's path is about.

use super::{
    kind::Kind,
    store::{Key, Store},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/version`, `/api`, `/apis` and what is below them, up to the kinds.
    Discovery(Vec<String>),
    Collection {
        kind: Kind,
        namespace: Option<String>,
    },
    Object {
        kind: Kind,
        key: Key,
        part: Part,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    Log,
}

impl Target {
    /// `None`: there is nothing at that path.
    pub(super) fn of(path: &str, store: &Store) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] if !rest.is_empty() => ("", version, rest),
            ["apis", group, version, ref rest @ ..] if !rest.is_empty() => (group, version, rest),
            ["version"] | ["api" | "apis", ..] => {
                return Some(Self::Discovery(parts.into_iter().map(str::to_owned).collect()));
            }
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        let is_it = |kind: &&Kind| kind.group == group && kind.version == version && kind.plural == *plural;
        let kind = store.kinds().find(is_it)?.clone();
        let Some((name, rest)) = rest.split_first() else {
            return Some(Self::Collection { kind, namespace: namespace.map(str::to_owned) });
        };
        let part = match (rest, kind.name.as_str()) {
            ([], _) => Part::Main,
            (["status"], _) => Part::Status,
            (["log"], "Pod") => Part::Log,
            _ => return None,
        };
        Some(Self::Object { kind, key: (namespace?.to_owned(), (*name).to_owned()), part })
    }

    /// Of the kind; empty for discovery.
    pub(super) fn plural(&self) -> &str {
        match self {
            Self::Discovery(_) => "",
            Self::Collection { kind, .. } | Self::Object { kind, .. } => &kind.plural,
        }
    }

    pub(super) fn key(&self) -> Key {
        match self {
            Self::Discovery(_) => Key::default(),
            Self::Collection { namespace, .. } => (namespace.clone().unwrap_or_default(), String::new()),
            Self::Object { key, .. } => key.clone(),
        }
    }
}
