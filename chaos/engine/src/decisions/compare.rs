//! Whether two runs hit the same requests: `lab chaos rerun`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;

use serde::Serialize;

use super::{FILE, What};
use crate::error::EngineError;
use crate::runlog::{self, Entry};

/// How many hits were in both runs, and in one of them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// In both.
    pub equal: u64,
    /// In the first alone.
    pub only_a: u64,
    /// In the second alone.
    pub only_b: u64,
}

impl Hits {
    /// Whether there was any hit, and every one was in both.
    #[must_use]
    pub const fn same(&self) -> bool {
        self.equal > 0 && self.only_a == 0 && self.only_b == 0
    }

    /// The share of all hits that were in both; `None` without any.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let all = self.equal + self.only_a + self.only_b;
        (all > 0).then(|| self.equal as f64 / all as f64)
    }

    const fn add(&mut self, other: Self) {
        self.equal += other.equal;
        self.only_a += other.only_a;
        self.only_b += other.only_b;
    }
}

/// The hits of two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultHits {
    /// All of them.
    pub all: Hits,
    /// By fault.
    pub faults: BTreeMap<String, Hits>,
    /// Of requests that both runs made only: a run that ended a moment sooner lacks the last.
    pub requests_in_both: Hits,
}

/// What makes a hit the same one: arm, repeat, request, link, method, attempt.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Hit {
    arm: String,
    repeat: u32,
    request_id: String,
    link: String,
    method: String,
    attempt: u32,
}

type ByFault = HashMap<String, HashSet<Hit>>;

/// Compares what the faults of the services hit in the trials that count, of two run folders:
/// by arm, repeat, request, link, method and attempt.
///
/// A decision is a function of just these and the seed, so a rerun hits the same requests but
/// for those at the edges of a fault's window, and later attempts that one of the runs did not
/// make. Faults that have a state (`first N`, `capacity`) repeat only as far as arrivals do.
///
/// # Errors
/// [`EngineError::Io`] or [`EngineError::Log`] if a folder can't be read.
pub fn compare_hits(a: &Path, b: &Path) -> Result<FaultHits, EngineError> {
    let (a_hits, b_hits) = (hits(a)?, hits(b)?);
    let (a_made, b_made) = (requests(a)?, requests(b)?);
    let in_both = |hit: &Hit| {
        let key = (hit.arm.clone(), hit.repeat, hit.request_id.clone());
        a_made.contains(&key) && b_made.contains(&key)
    };
    let mut found = FaultHits::default();
    let names: HashSet<&String> = a_hits.keys().chain(b_hits.keys()).collect();
    let none = HashSet::new();
    for name in names {
        let (in_a, in_b) = (
            a_hits.get(name).unwrap_or(&none),
            b_hits.get(name).unwrap_or(&none),
        );
        let hits = counted(in_a, in_b, |_| true);
        found.requests_in_both.add(counted(in_a, in_b, in_both));
        found.all.add(hits);
        found.faults.insert(name.clone(), hits);
    }
    Ok(found)
}

fn counted(a: &HashSet<Hit>, b: &HashSet<Hit>, wanted: impl Fn(&Hit) -> bool) -> Hits {
    let count = |n: usize| n as u64;
    Hits {
        equal: count(a.intersection(b).filter(|h| wanted(h)).count()),
        only_a: count(a.difference(b).filter(|h| wanted(h)).count()),
        only_b: count(b.difference(a).filter(|h| wanted(h)).count()),
    }
}

fn hits(dir: &Path) -> Result<ByFault, EngineError> {
    let counted = counted_trials(dir)?;
    let mut found = ByFault::new();
    for decision in super::read(&dir.join(FILE))? {
        let decision = decision?;
        let Some((arm, repeat)) = counted.get(&decision.trial) else {
            continue;
        };
        if let What::Fault {
            fault,
            call,
            attempt,
            ..
        } = decision.what
        {
            found.entry(fault).or_default().insert(Hit {
                arm: arm.clone(),
                repeat: *repeat,
                request_id: call.request_id,
                link: call.link,
                method: call.method,
                attempt,
            });
        }
    }
    Ok(found)
}

/// The trials of a run that count, each with its arm and repeat.
fn counted_trials(dir: &Path) -> Result<HashMap<u32, (String, u32)>, EngineError> {
    let entries = runlog::read(&dir.join("run.ndjson"))?;
    let mut begun = HashMap::new();
    let mut counted = HashMap::new();
    for entry in entries {
        match entry {
            Entry::Trial(start) => {
                begun.insert(start.trial, (start.arm, start.repeat));
            }
            Entry::TrialEnd {
                trial, void: None, ..
            } => counted.extend(begun.remove_entry(&trial)),
            _ => {}
        }
    }
    Ok(counted)
}

/// The requests of the trials that count: arm, repeat, request id.
fn requests(dir: &Path) -> Result<HashSet<(String, u32, String)>, EngineError> {
    let counted = counted_trials(dir)?;
    let mut made = HashSet::new();
    for row in crate::requests::read(&dir.join(crate::requests::FILE))? {
        let row = row?;
        if counted.contains_key(&row.trial) {
            made.insert((row.arm, row.repeat, row.request_id));
        }
    }
    Ok(made)
}
