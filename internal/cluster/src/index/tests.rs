//! The rules together: what is told, once, and what the state says.

use release_core::rollout::Phase;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

pub(crate) fn object<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}
