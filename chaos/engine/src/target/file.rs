//! A target as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{PlainLoad, SCHEMA_VERSION, Target};
use crate::error::EngineError;

/// A target in a file: addresses are text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    schema_version: u32,
    kind: String,
    entry: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    lab_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy_api: Option<String>,
    #[serde(default)]
    control: BTreeMap<String, String>,
    #[serde(default)]
    metrics: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pids: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load: Option<PlainLoad>,
}

impl Target {
    /// Reads a target file.
    ///
    /// # Errors
    /// [`EngineError::Io`] when it can't be read, [`EngineError::TargetFile`] with line
    /// and column when it is no target.
    pub fn from_file(path: &Path) -> Result<Self, EngineError> {
        let text = std::fs::read_to_string(path).map_err(|e| EngineError::io(path, e))?;
        toml::from_str(&text).map_err(|e| EngineError::TargetFile {
            path: path.to_owned(),
            why: e.to_string().trim_end().to_owned(),
        })
    }
}

impl TryFrom<Written> for Target {
    type Error = String;

    fn try_from(w: Written) -> Result<Self, String> {
        if w.schema_version != SCHEMA_VERSION {
            return Err(format!(
                "schema_version {} is unknown; this engine reads {SCHEMA_VERSION}",
                w.schema_version
            ));
        }
        if let Some(load) = &w.load {
            sound(load)?;
        }
        Ok(Self {
            entry: url("entry", w.entry)?,
            control: urls("control", w.control)?,
            metrics: urls("metrics", w.metrics)?,
            proxy_api: w.proxy_api.map(|api| url("proxy_api", api)).transpose()?,
            kind: w.kind,
            lab_token: w.lab_token,
            links: w.links,
            pids: w.pids,
            load: w.load,
            processes: None,
        })
    }
}

fn sound(load: &PlainLoad) -> Result<(), String> {
    if load.requests.is_empty() {
        return Err(
            "`load` needs at least one request, such as [load.requests.browse] with a path"
                .to_owned(),
        );
    }
    if !(load.max_rate > 0.0 && load.max_rate.is_finite()) {
        return Err("`load.max_rate` must be above zero".to_owned());
    }
    for (op, template) in &load.requests {
        if !template.path.starts_with('/') {
            let path = &template.path;
            return Err(format!(
                "`load.requests.{op}.path` must begin with `/`, not `{path}`"
            ));
        }
    }
    Ok(())
}

fn url(what: &str, text: String) -> Result<Url, String> {
    Url::parse(&text).map_err(|e| format!("`{what}`: `{text}` is no URL: {e}"))
}

fn urls(what: &str, of: BTreeMap<String, String>) -> Result<BTreeMap<String, Url>, String> {
    of.into_iter()
        .map(|(part, text)| {
            let url = url(&format!("{what}.{part}"), text)?;
            Ok((part, url))
        })
        .collect()
}

impl From<Target> for Written {
    fn from(t: Target) -> Self {
        let texts = |of: BTreeMap<String, Url>| {
            of.into_iter()
                .map(|(part, url)| (part, url.to_string()))
                .collect()
        };
        Self {
            schema_version: SCHEMA_VERSION,
            kind: t.kind,
            entry: t.entry.to_string(),
            lab_token: t.lab_token,
            proxy_api: t.proxy_api.map(|api| api.to_string()),
            control: texts(t.control),
            metrics: texts(t.metrics),
            links: t.links,
            pids: t.pids,
            load: t.load,
        }
    }
}
