//! What a scenario breaks: faults of the time line, conditions, and the stretches of
//! time that checks can name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::known;
use super::request::RequestFault;
use super::storm::Spell;

/// One fault of the time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What the checks call it.
    pub name: String,
    /// When it is injected (first), from second 0.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
    /// How long it stays each time; zero for a restart, which is over when the part
    /// is healthy again.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasts: Duration,
    /// That it comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// Of a storm's fault: when it comes, drawn from the seed; nothing yet in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Vec<Spell>>,
    /// The link it breaks; of a fault on a process, the part.
    pub link: String,
    /// What it does there.
    pub action: Action,
    /// `false`: declared, and never injected.
    pub inject: bool,
}

/// A fault that comes more than once: one fault with several injections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// From one injection to the next.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How often in all.
    pub times: u32,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The proxy refuses connections and closes those it has.
    Down,
    /// One of Toxiproxy's toxics.
    Toxic(Toxic),
    /// The fault layer of the services, request by request.
    Request(RequestFault),
    /// Something is done to the process.
    Process(ProcessAction),
    /// A seeded defect of the service is switched on.
    Defect(String),
}

/// A toxic, as Toxiproxy's API takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toxic {
    /// Its type, such as `latency`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `upstream` or `downstream`.
    pub stream: String,
    /// Share of connections, 0 to 1.
    pub toxicity: f64,
    /// Its numbers.
    pub attributes: BTreeMap<String, i64>,
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessAction {
    /// SIGKILL; started again at the clearing, which is confirmed when it is healthy.
    Kill,
    /// SIGSTOP; SIGCONT at the clearing.
    Pause,
    /// SIGTERM and started at once; cleared when it is healthy again.
    Restart,
}

/// Who carries out a fault, and who counts what it acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The fault proxies.
    Proxy,
    /// The services' own fault layer.
    Request,
    /// Whoever holds the processes.
    Process,
}

impl Level {
    /// Its name in the run log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Request => "l7",
            Self::Process => "process",
        }
    }
}

impl Action {
    /// Who carries it out.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Down | Self::Toxic(_) => Level::Proxy,
            Self::Request(_) | Self::Defect(_) => Level::Request,
            Self::Process(_) => Level::Process,
        }
    }

    /// What it does, in words that a place follows.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Process(ProcessAction::Kill) => "kill -9 of",
            Self::Process(ProcessAction::Pause) => "SIGSTOP of",
            Self::Process(ProcessAction::Restart) => "restart of",
            Self::Down => "no connection over",
            Self::Toxic(_) | Self::Request(_) => "a fault on",
            Self::Defect(_) => "a defect of",
        }
    }

    /// Whether requests that meet it fail although the system is otherwise sound;
    /// the rest only slows them.
    #[must_use]
    pub fn fails(&self) -> bool {
        match self {
            Self::Down | Self::Process(_) => true,
            Self::Toxic(toxic) => {
                matches!(
                    &*toxic.kind,
                    "timeout" | "reset_peer" | "limit_data" | "down"
                )
            }
            Self::Request(fault) => fault.effect.fails(),
            Self::Defect(_) => false,
        }
    }
}

/// What is in force from before the warm-up to the end of the load, in every arm: no
/// fault, but the ground on which the arms are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// What results call it.
    pub name: String,
    /// The link.
    pub link: String,
    /// What it does there; never to a process.
    pub action: Action,
    /// `false`: declared, and never injected.
    pub inject: bool,
}

/// A stretch of time with a name, for checks; it does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What the checks call it.
    pub name: String,
    /// Its beginning, from second 0.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
    /// Its length.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasts: Duration,
}

impl Fault {
    /// Its injections, by time.
    #[must_use]
    pub fn spells(&self) -> Vec<Spell> {
        if let Some(drawn) = self.drawn.as_ref().filter(|drawn| !drawn.is_empty()) {
            return drawn.clone();
        }
        let (first, lasts) = (self.at, self.lasts);
        let every = self.again.map_or(Duration::ZERO, |again| again.every);
        let times = self.again.map_or(1, |again| again.times);
        let spell = |i| Spell {
            at: first + every * i,
            lasts,
        };
        (0..times).map(spell).collect()
    }

    /// When the last of its injections is over, from second 0.
    #[must_use]
    pub fn ends(&self) -> Duration {
        let last = self.spells().last().map(|spell| spell.at + spell.lasts);
        last.unwrap_or(self.at)
    }

    /// The links whose callers meet it.
    #[must_use]
    pub fn links(&self) -> Vec<&str> {
        known::links_of(&self.link)
    }
}
