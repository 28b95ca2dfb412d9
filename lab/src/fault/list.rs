//! What is in force, as those who carry it out say.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::controls::Controls;
use crate::text;

/// One fault of one injector.
#[derive(Serialize)]
struct Row {
    name: String,
    link: String,
    /// Who carries it out.
    by: String,
    action: Value,
    left_ms: Option<u64>,
    matched: Option<u64>,
    acted: Option<u64>,
}

/// Shows all of them.
///
/// # Errors
/// When a part or the fault proxy doesn't answer.
pub async fn run(controls: &Controls, json: bool) -> Result<()> {
    let mut rows = proxies(controls).await?;
    rows.extend(parts(controls).await?);
    if json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "faults": rows }));
        println!("{}", text.context("JSON")?);
        return Ok(());
    }
    if rows.is_empty() {
        println!("no fault is in force");
        return Ok(());
    }
    let mut table = vec![text::row([
        "fault", "link", "by", "does", "acted on", "left",
    ])];
    table.extend(rows.iter().map(Row::cells));
    print!("{}", text::table(&table));
    Ok(())
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let acted = match (self.acted, self.matched) {
            (Some(acted), Some(matched)) => format!("{acted} of {matched}"),
            (Some(acted), None) => acted.to_string(),
            _ => "-".to_owned(),
        };
        let left = self
            .left_ms
            .map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3));
        let action = match &self.action {
            Value::String(word) => word.clone(),
            action => action.to_string(),
        };
        text::row([&self.name, &self.link, &self.by, &action, &acted, &left])
    }
}

/// Links that are down, and toxics.
async fn proxies(controls: &Controls) -> Result<Vec<Row>> {
    let acted = controls.proxies.acted().await?;
    let mut rows = Vec::new();
    for (link, proxy) in controls.proxies.list().await? {
        let row = |name: &str, action: Value, acted: Option<u64>| Row {
            name: name.to_owned(),
            link: link.clone(),
            by: "proxy".to_owned(),
            action,
            left_ms: None,
            matched: None,
            acted,
        };
        if !proxy.enabled {
            let count = acted.as_ref().map(|acted| acted.down(&link));
            rows.push(row("-", "down".into(), count));
        }
        for mut toxic in proxy.toxics {
            let name = toxic["name"].as_str().unwrap_or("-").to_owned();
            let count = acted.as_ref().map(|acted| acted.toxic(&link, &name));
            if let Some(fields) = toxic.as_object_mut() {
                fields.remove("name");
            }
            rows.push(row(&name, toxic, count));
        }
    }
    Ok(rows)
}

/// Faults per request, of every part that has some.
async fn parts(controls: &Controls) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for control in &controls.parts {
        for fault in control.faults().await? {
            let text = |field: &str| fault[field].as_str().unwrap_or("-").to_owned();
            rows.push(Row {
                name: text("id"),
                link: text("link"),
                by: control.part().to_owned(),
                action: action(&fault),
                left_ms: fault["expires_in_ms"].as_u64(),
                matched: fault["matched"].as_u64(),
                acted: fault["acted"].as_u64(),
            });
        }
    }
    Ok(rows)
}

/// The action with what narrows it.
fn action(fault: &Value) -> Value {
    let mut action = fault["action"].clone();
    if let Some(fields) = action.as_object_mut() {
        for field in ["methods", "callers", "users"] {
            let list = &fault[field];
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                fields.insert(field.to_owned(), list.clone());
            }
        }
    }
    action
}
