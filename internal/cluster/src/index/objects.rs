//! Objects of one kind, kept equal to the cluster's.

use std::collections::HashMap;

use kube::api::ObjectMeta;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { namespace: text(&metadata.namespace), name: text(&metadata.name) }
    }
}

/// A watch that begins anew lists what is there; what was deleted in between is what that list has not.
#[derive(Debug)]
pub(crate) struct Objects<V> {
    entries: HashMap<Key, Entry<V>>,
    list: u64,
    is_listed: bool,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// The list, or the time after it, that it was seen in last.
    list: u64,
}

impl<V> Default for Objects<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), list: 0, is_listed: false }
    }
}

impl<V> Objects<V> {
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn insert(&mut self, key: Key, value: V) {
        self.entries.insert(key, Entry { value, list: self.list });
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    pub(crate) fn begin_list(&mut self) {
        self.list += 1;
    }

    /// What is gone.
    pub(crate) fn end_list(&mut self) -> Vec<Key> {
        self.is_listed = true;
        let list = self.list;
        self.entries.extract_if(|_, entry| entry.list != list).map(|(key, _)| key).collect()
    }

    /// Whether there was a whole list ever.
    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "dev".into(), name: name.into() }
    }

    #[test]
    fn what_a_list_has_not_is_gone_but_only_when_the_list_is_whole() {
        let mut objects = Objects::default();
        objects.begin_list();
        objects.insert(key("a"), 1);
        objects.insert(key("b"), 1);
        assert!(!objects.is_listed());
        assert!(objects.end_list().is_empty() && objects.is_listed());
        objects.insert(key("c"), 1);

        objects.begin_list();
        objects.insert(key("a"), 2);
        // It broke off.
        objects.begin_list();
        assert_eq!(objects.len(), 3);
        objects.insert(key("c"), 2);
        let mut gone = objects.end_list();
        gone.sort();
        assert_eq!(gone, [key("a"), key("b")]);
        assert_eq!(objects.get(&key("c")), Some(&2));
    }
}
