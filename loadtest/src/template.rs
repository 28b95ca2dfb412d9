//! Requests of a system that isn't the shop: one fixed request for each operation.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How one operation looks in another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, from the entry on.
    pub path: String,
    /// Headers beside the request id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The statuses of a good answer; any 2xx if none is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<u16>,
}

fn get() -> String {
    "GET".to_owned()
}
