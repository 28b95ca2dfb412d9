//! Where the figures come from: void trials, how to repeat the run, the machine,
//! what the arms differ in, the scenario.

use std::collections::{BTreeMap, BTreeSet};

use chaos_engine::stats::median;
use chaos_engine::{RunResult, Scenario};
use serde_json::Value;

use crate::markup::{El, el};
use crate::page::scrolls;
use crate::scale::short;
use crate::words::{count, seconds};

/// The command that makes the run again.
pub(crate) fn command(result: &RunResult, scenario: &Scenario) -> String {
    let header = &result.run.header;
    if header.point.is_some() {
        // A point of a map is no run that the scenario's name alone would make.
        return "cargo lab chaos rerun DIR   # DIR: the folder of this page".to_owned();
    }
    let mut words = vec![format!(
        "cargo lab chaos run {} --seed {}",
        header.scenario, header.seed
    )];
    if header.quick {
        words.push("--quick".to_owned());
    }
    if header.negative_control {
        words.push("--negative-control".to_owned());
    }
    if scenario.schedule(header.quick).repeats != header.repeats {
        words.push(format!("--repeats {}", header.repeats));
    }
    let all: Vec<&String> = scenario.arms.iter().map(|a| &a.name).collect();
    if all != header.arms.iter().collect::<Vec<_>>() {
        words.push(format!("--arms {}", header.arms.join(",")));
    }
    words.join(" ")
}

pub(crate) fn void(result: &RunResult) -> El {
    let section = el("section").id("void").child(el("h2").text("Void trials"));
    if result.void_trials.is_empty() {
        return section.child(el("p").class("quiet").text("None: every trial counts."));
    }
    let item = |v: &chaos_engine::VoidTrial| {
        let again = if v.run_again {
            "run again"
        } else {
            "not made up for"
        };
        el("li")
            .child(el("b").text(format!("{}, repeat {}, try {}", v.arm, v.repeat, v.number)))
            .text(format!(": {} ({again})", v.reason))
    };
    section
        .child(el("p").class("note").text(
            "A trial is void when it could not measure what it should; it counts for nothing.",
        ))
        .child(el("ul").children(result.void_trials.iter().map(item)))
}

pub(crate) fn section(result: &RunResult, scenario: &Scenario) -> El {
    let e = &result.environment;
    let memory = e.memory_bytes.map_or_else(
        || "unknown".to_owned(),
        |b| format!("{} GiB", short(b as f64 / f64::from(1 << 30), 1)),
    );
    let facts = [
        ("Seed", result.seed.to_string()),
        ("Started", e.started_at.clone()),
        (
            "Lab",
            format!("{} (log format {})", e.version, result.schema_version),
        ),
        ("Shop", e.kind.clone()),
        (
            "Machine",
            format!("{}, {} cores, {memory} of memory", e.os, e.cores),
        ),
        (
            "Repeats",
            format!(
                "{}{}",
                result.run.header.repeats,
                if result.quick {
                    ", --quick: about this run only"
                } else {
                    ""
                }
            ),
        ),
    ];
    let list = el("dl").children(facts.iter().map(|(name, value)| {
        el("div")
            .child(el("dt").text(name))
            .child(el("dd").text(value))
    }));
    el("section")
        .id("run")
        .child(el("h2").text("This run"))
        .child(list)
        .child(el("h3").text("Run it again"))
        .child(
            el("pre")
                .class("command")
                .attr("tabindex", 0)
                .attr("role", "region")
                .attr("aria-label", "Command")
                .text(command(result, scenario)),
        )
        .child(el("h3").text("What the arms differ in"))
        .child(differences(result))
        .child(el("h3").text("What was used"))
        .child(usage(result))
        .child(el("h3").text("The scenario"))
        .child(source(result))
}

fn source(result: &RunResult) -> El {
    let header = &result.run.header;
    let pre = el("pre")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", "Scenario file")
        .text(&header.source);
    el("details")
        .child(el("summary").text(&header.file))
        .child(pre)
}

/// Every policy field in which any two arms differ.
fn differences(result: &RunResult) -> El {
    let flat: Vec<BTreeMap<String, String>> = result
        .arms
        .iter()
        .map(|arm| flatten(&arm.policies))
        .collect();
    let names: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let differ = |name: &&String| flat.iter().any(|f| f.get(*name) != flat[0].get(*name));
    let rows: Vec<&String> = names.into_iter().filter(differ).collect();
    if rows.is_empty() {
        return el("p")
            .class("quiet")
            .text("In nothing that the services told of their policies.");
    }
    let heads = result
        .arms
        .iter()
        .map(|a| el("th").attr("scope", "col").text(&a.name));
    let head = el("tr")
        .child(el("th").attr("scope", "col").text("slot, field"))
        .children(heads);
    let rows = rows.into_iter().map(|name| {
        let value =
            |f: &BTreeMap<String, String>| el("td").text(f.get(name).map_or("–", String::as_str));
        el("tr")
            .child(el("th").attr("scope", "row").child(el("code").text(name)))
            .children(flat.iter().map(value))
    });
    let table = el("table").class("figures").child(el("thead").child(head));
    scrolls(
        "Policies that differ",
        table.child(el("tbody").children(rows)),
    )
}

fn flatten(policies: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    fn walk(name: String, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                fields
                    .iter()
                    .for_each(|(k, v)| walk(format!("{name}.{k}"), v, out));
            }
            Value::Null => {}
            Value::String(s) => {
                out.insert(name, s.clone());
            }
            other => {
                out.insert(name, other.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    for (slot, policy) in policies {
        walk(slot.clone(), policy, &mut out);
    }
    out
}

/// CPU and lateness, medians over the repeats.
fn usage(result: &RunResult) -> El {
    let parts: BTreeSet<String> = result
        .arms
        .iter()
        .flat_map(|a| &a.repeats)
        .filter_map(|r| r.usage.as_ref())
        .flat_map(|u| u.cpu_share.keys().cloned())
        .collect();
    let fixed = ["generator’s lateness, p99", "generator’s CPU"].map(str::to_owned);
    let heads = fixed
        .iter()
        .cloned()
        .chain(parts.iter().map(|p| format!("{p}’s CPU")));
    let heads = heads.map(|h| el("th").attr("scope", "col").class("num").text(h));
    let head = el("tr")
        .child(el("th").attr("scope", "col").text("arm"))
        .children(heads);
    let rows = result.arms.iter().map(|arm| {
        let all: Vec<_> = arm
            .repeats
            .iter()
            .filter_map(|r| r.usage.as_ref())
            .collect();
        let middle = |values: Vec<f64>| median(&values);
        let late = middle(all.iter().map(|u| u.generator_late_p99_ms / 1e3).collect());
        let own = middle(all.iter().map(|u| u.generator_cpu_share).collect());
        let mut cells = vec![late.map(seconds), own.map(share)];
        for part in &parts {
            let of = all.iter().filter_map(|u| u.cpu_share.get(part).copied());
            cells.push(middle(of.collect()).map(share));
        }
        let cell = |c: Option<String>| el("td").class("num").text(c.as_deref().unwrap_or("–"));
        el("tr")
            .child(el("th").attr("scope", "row").text(&arm.name))
            .children(cells.into_iter().map(cell))
    });
    let table = el("table").class("figures").child(el("thead").child(head));
    scrolls(
        "CPU shares of the whole machine",
        table.child(el("tbody").children(rows)),
    )
}

fn share(x: f64) -> String {
    format!("{} %", count((x * 1000.0).round() / 10.0))
}
