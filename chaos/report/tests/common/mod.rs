//! Runs that never were, written as run logs: JSON lines and nothing of the
//! engine's types, so that what is read here is what the format promises.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde_json::{Value, json};

/// What to make.
pub struct Model {
    pub name: &'static str,
    pub seconds: i64,
    pub fault: (i64, i64),
    pub repeats: u32,
    /// Requests a second.
    pub rate: u64,
    /// Each with what it does under the fault.
    pub arms: Vec<(&'static str, Arm)>,
    /// Text that somebody else wrote, put wherever a log has such text.
    pub words: &'static str,
    /// A void try before the first repeat of the second arm.
    pub void: bool,
    /// Whether the fault was injected.
    pub injected: bool,
    /// Whether the log has its last line.
    pub complete: bool,
    /// Whether it was a negative control (of an outage that goes on all the same).
    pub control: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Arm {
    /// One attempt, which fails.
    None,
    /// Three attempts at once.
    Naive,
    /// Never recovers: attempts pile up for as long as there is load.
    Storm,
    /// A breaker, open after a second, closed two after the clearing.
    Breaker,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            name: "product-outage",
            seconds: 24,
            fault: (6, 12),
            repeats: 1,
            rate: 40,
            arms: vec![
                ("none", Arm::None),
                ("naive", Arm::Naive),
                ("fast", Arm::Breaker),
            ],
            words: "",
            void: false,
            injected: true,
            complete: true,
            control: false,
        }
    }
}

/// The reset of `fast` and two seconds.
const RECOVERING: i64 = 7;

const LINK: &str = "order-product";

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Most near the median, some far above.
    fn latency_us(&mut self, median: f64) -> u64 {
        (median * (1.0 + 0.8 * self.unit()) / (1.02 - self.unit()).powf(0.45)) as u64
    }
}

fn hdr(us: &[u64]) -> String {
    if us.is_empty() {
        return String::new();
    }
    let mut h = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).unwrap();
    us.iter().for_each(|us| h.saturating_record(*us));
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(&h, &mut bytes)
        .unwrap();
    STANDARD.encode(bytes)
}

impl Model {
    /// The scenario, as its file would be.
    pub fn source(&self) -> String {
        let mut text = format!(
            "# {}\nschema_version = 1\nname = \"{}\"\nshows = {}\nhypothesis = {}\nrepeats = {}\n\
             [load]\nwarm_up = \"3s\"\nduration = \"{}s\"\n\
             [[load.stream]]\nmix = \"order\"\nrate = {}\narrivals = \"constant\"\n\
             [[timeline]]\nname = \"outage\"\nat = \"{}s\"\nfor = \"{}s\"\nlink = \"{LINK}\"\naction = \"down\"\n",
            self.words.replace('\n', " "),
            self.name,
            toml_text(&format!("what an outage costs {}", self.words)),
            toml_text(&format!("the breaker spares the link {}", self.words)),
            self.repeats,
            self.seconds,
            self.rate,
            self.fault.0,
            self.fault.1 - self.fault.0,
        );
        for (name, _) in &self.arms {
            let _ = writeln!(text, "[arms.{name}]\n{LINK} = \"fast\"");
        }
        let (first, last) = (self.arms[0].0, self.arms[self.arms.len() - 1].0);
        let because = toml_text(&format!("it was so before {}", self.words));
        for (id, that) in [
            (
                "healthy-before",
                "unsuccessful(*) == 0 before outage".to_owned(),
            ),
            (
                "fast-answers",
                format!("share_under({last}, 50ms) >= 99% during outage"),
            ),
            (
                "spares-the-link",
                format!("attempts({last}) < 0.5 * attempts({first}) during outage"),
            ),
            ("latency", format!("p50({last}) < 100ms")),
            ("closes", format!("closed_within({last}) <= 5s after clear")),
        ] {
            let _ = writeln!(
                text,
                "[[check]]\nid = \"{id}\"\nthat = \"{that}\"\nbecause = {because}"
            );
        }
        if self.control {
            let _ = writeln!(
                text,
                "[negative_control]\nbecause = \"nothing shields the link\"\nfails = [\"fast-answers\"]\n\
                 [negative_control.arms.{first}]\n{LINK} = \"none\""
            );
        }
        text
    }

    /// Writes the log, and decisions on a few requests.
    pub fn write(&self, dir: &Path) {
        let mut log = Vec::new();
        log.push(json!({
            "type": "run", "schema_version": 1, "scenario": self.name, "file": format!("{}.toml", self.name),
            "source": self.source(), "seed": 7, "quick": false, "repeats": self.repeats,
            "arms": self.arms.iter().map(|a| a.0).collect::<Vec<_>>(),
            "environment": {
                "version": "0.1.0", "kind": "embedded", "os": format!("linux x86_64 {}", self.words),
                "cores": 2, "memory_bytes": 8_589_934_592_u64, "started_at": "2026-01-01T00:00:00Z"
            }
        }));
        if self.control {
            log[0]["negative_control"] = true.into();
        }
        let (mut trial, mut decisions) = (0, String::new());
        for repeat in 1..=self.repeats {
            for (i, (name, arm)) in self.arms.iter().enumerate() {
                let goes = if self.void && repeat == 1 && i == 1 {
                    2
                } else {
                    1
                };
                for go in 1..=goes {
                    let void = (go < goes).then(|| format!("arrivals were late {}", self.words));
                    log.extend(self.trial(trial, name, *arm, (repeat, go), void));
                    if repeat == 1 && go == goes {
                        decisions += &self.decisions(trial, name, *arm);
                    }
                    trial += 1;
                }
            }
        }
        if self.complete {
            log.push(json!({"type": "end", "stopped": null}));
        }
        let lines: String = log.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.join("run.ndjson"), lines).unwrap();
        std::fs::write(dir.join("decisions.jsonl"), decisions).unwrap();
    }

    fn trial(
        &self,
        trial: u32,
        name: &str,
        arm: Arm,
        (repeat, go): (u32, u32),
        void: Option<String>,
    ) -> Vec<Value> {
        let (at, until) = self.fault;
        let mut random = Random(u64::from(repeat) * 7 + name.len() as u64);
        let attempts = match arm {
            Arm::None => 1,
            _ => 3,
        };
        let mut out = vec![json!({
            "type": "trial", "trial": trial, "arm": name, "repeat": repeat, "go": go, "seed": repeat, "reset_us": 5_000_000,
            "policies": {LINK: {"preset": name, "deadline": "1s", "retry": {"attempts": attempts}, "note": self.words}}
        })];
        if !self.injected {
            out.extend((0..self.seconds).map(|s| self.frame(trial, arm, s, &mut random)));
            out.push(json!({"type": "trial_end", "trial": trial, "void": void}));
            return out;
        }
        out.push(json!({"type": "inject", "trial": trial, "t_us": at * 1_000_000, "done_us": at * 1_000_000 + 2_000, "fault": "outage", "link": LINK}));
        for second in 0..self.seconds {
            out.push(self.frame(trial, arm, second, &mut random));
        }
        out.push(json!({"type": "clear", "trial": trial, "t_us": until * 1_000_000, "done_us": until * 1_000_000 + 2_000, "fault": "outage", "link": LINK}));
        if arm == Arm::Breaker {
            let moves = [
                (at * 1_000_000 + 300_000, "closed", "open"),
                (until * 1_000_000 - 1_500_000, "open", "half_open"),
                (until * 1_000_000 - 1_490_000, "half_open", "open"),
                (until * 1_000_000 + 500_000, "open", "half_open"),
                (until * 1_000_000 + 1_500_000, "half_open", "closed"),
            ];
            out.extend(moves.iter().map(|(t, from, to)| {
                json!({"type": "breaker", "trial": trial, "t_us": t, "link": LINK, "from": from, "to": to, "failed_in_a_row": 5})
            }));
        }
        out.push(json!({"type": "seen", "trial": trial, "fault": "outage", "attempts": 300, "failed": 200, "slow": 0, "attempts_before": 200, "failed_before": 0}));
        out.push(json!({"type": "usage", "trial": trial, "wall_us": 20_000_000, "generator_us": 900_000, "parts_us": {"order": 2_000_000, "product": 1_500_000}, "late_p99_us": 800, "planned": 800, "sent": 800}));
        out.push(json!({"type": "facts", "trial": trial, "acknowledged": 400, "indeterminate": 0, "listed": 400, "lost_orders": 0, "duplicate_orders": 0, "oversold": 0}));
        out.push(json!({"type": "trial_end", "trial": trial, "void": void}));
        out
    }

    fn frame(&self, trial: u32, arm: Arm, second: i64, random: &mut Random) -> Value {
        let (at, until) = self.fault;
        let phase = match second {
            s if s < at => "before",
            s if s < until => "during",
            s if s < until + RECOVERING => "recovering",
            _ => "after",
        };
        let sick = second >= at && (second < until || arm == Arm::Storm);
        let n = self.rate;
        let (good, refused) = match arm {
            _ if !sick => (n, 0),
            Arm::Breaker if second == at => (0, n / 2),
            Arm::Breaker => (0, n),
            Arm::Storm => (n / 10, 0),
            Arm::None | Arm::Naive => (0, 0),
        };
        let failed = n - good - refused;
        let median = match (sick, arm) {
            (false, _) => 4_000.0,
            (true, Arm::Breaker) => 1_500.0,
            (true, Arm::Storm) => 700_000.0,
            (true, _) => 6_000.0,
        };
        let us: Vec<u64> = (0..n).map(|_| random.latency_us(median)).collect();
        let tries = if sick && matches!(arm, Arm::Naive | Arm::Storm) {
            3
        } else {
            1
        };
        let attempts = (n - refused) * tries;
        let faults: &[&str] = if phase == "during" { &["outage"] } else { &[] };
        json!({
            "type": "frame", "trial": trial, "second": second,
            "cells": [{
                "phase": phase, "faults": faults, "op": "order", "ok": good, "degraded": 0,
                "rejected": refused, "failed": failed, "hdr": hdr(&us)
            }],
            "links": [{
                "link": LINK, "phase": phase, "faults": faults, "calls": n, "tried": n - refused, "attempts": attempts,
                "attempts_failed": failed * tries, "retries": attempts - (n - refused), "refused": refused,
                "cancelled": 0, "ok": good, "degraded": 0, "rejected": refused, "failed": failed, "hdr": hdr(&us)
            }],
            "breakers": {}
        })
    }

    fn decisions(&self, trial: u32, name: &str, arm: Arm) -> String {
        let t = self.fault.0 * 1_000_000 + 400_000;
        let line = |t_us: i64, more: Value| {
            let mut all = json!({
                "trial": trial, "arm": name, "repeat": 1, "t_us": t_us, "service": "order", "link": LINK,
                "method": "GetProducts", "request_id": format!("r-{trial}-{}", self.words)
            });
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            format!("{all}\n")
        };
        let fault = |t, attempt| {
            line(
                t,
                json!({"kind": "fault", "fault": "outage", "attempt": attempt, "action": "fail"}),
            )
        };
        match arm {
            Arm::Breaker => line(
                t,
                json!({"kind": "refused", "attempt": 1, "reason": format!("breaker {}", self.words)}),
            ),
            Arm::None => fault(t, 1),
            Arm::Naive | Arm::Storm => [
                fault(t, 1),
                line(
                    t + 1_000,
                    json!({"kind": "wait", "attempt": 2, "wait_us": 9_000}),
                ),
                fault(t + 12_000, 2),
                line(
                    t + 13_000,
                    json!({"kind": "wait", "attempt": 3, "wait_us": 21_000}),
                ),
                fault(t + 36_000, 3),
            ]
            .concat(),
        }
    }
}

fn toml_text(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
