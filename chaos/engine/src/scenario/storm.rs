//! `[storm]`: faults that come at random, one after the other, drawn from the run's seed.
//!
//! The time from `from` to `until` is cut into as many slots of one length as there are faults;
//! in each slot one fault comes and goes. So however the dice fall, no two are on at once, the
//! last is over by `until`, and between two lies at least `calm`. The kinds are dealt as from a
//! shuffled pack that is shuffled again when it is used up: each comes about equally often.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;

use super::actions::{self, Place};
use super::read::{At, Table, duration};
use super::{Fault, Schedule};
use crate::diagnostics::Collector;

/// More would be a slip of the finger.
const MAX_FAULTS: u32 = 10_000;

/// When faults come at random, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The beginning, from second 0.
    pub from: Duration,
    /// The end: the last fault is over.
    pub until: Duration,
    /// How many in all.
    pub faults: u32,
    /// How long each stays: at least and at most.
    pub lasts: (Duration, Duration),
    /// At least so long between two of them.
    pub calm: Duration,
}

/// One coming of a storm's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spell {
    /// When, from second 0.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
    /// How long it stays.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasts: Duration,
}

impl Storm {
    fn slot(&self) -> Duration {
        self.until.saturating_sub(self.from) / self.faults.max(1)
    }

    /// When the faults come, and which of so many `kinds` each is.
    fn draw(&self, kinds: usize, seed: u64) -> Vec<(usize, Spell)> {
        let mut chance = Chance(seed ^ 0x7374_6f72_6d00_0000);
        let mut pack: Vec<usize> = Vec::new();
        let mut drawn = Vec::new();
        for n in 0..self.faults {
            if pack.is_empty() {
                pack = chance.shuffled(kinds);
            }
            let Some(kind) = pack.pop() else { break };
            let lasts = chance.between(self.lasts.0, self.lasts.1);
            let room = self.slot().saturating_sub(lasts + self.calm);
            let at = self.from + self.slot() * n + chance.between(Duration::ZERO, room);
            drawn.push((kind, Spell { at, lasts }));
        }
        drawn
    }
}

impl Schedule {
    /// The schedule with its storm as this seed has it; without one, the same.
    #[must_use]
    pub fn drawn(&self, seed: u64) -> Self {
        let mut schedule = self.clone();
        let Some(storm) = &self.storm else {
            return schedule;
        };
        let mut kinds: Vec<&mut Fault> = schedule
            .faults
            .iter_mut()
            .filter(|fault| fault.drawn.is_some())
            .collect();
        for (kind, spell) in storm.draw(kinds.len(), seed) {
            let fault = &mut kinds[kind];
            let spells = fault.drawn.get_or_insert_default();
            if spells.is_empty() {
                fault.at = spell.at;
            }
            spells.push(spell);
        }
        schedule.faults.sort_by_key(|fault| fault.at);
        schedule
    }
}

/// SplitMix64 (Steele et al., OOPSLA '14): a draw must come out the same in every version, since a
/// log is run again by its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whole milliseconds, both ends included.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX - 1);
        let (low, high) = (ms(low), ms(high));
        let span = high.saturating_sub(low) + 1;
        Duration::from_millis(low + self.next() % span)
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut pack: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            pack.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
        pack
    }
}

/// The storm, and its kinds of faults; each has no time yet.
pub(super) fn read(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    places: &Place<'_>,
    seen: &mut Vec<String>,
) -> (Option<Storm>, Vec<At<Fault>>) {
    let from = t.need_duration(c, "from").map(|d| d.value);
    let until = t.need_duration(c, "until").map(|d| d.value);
    let faults = t.need_count(c, "faults");
    let lasts = t.raw("for").and_then(|value| range(c, value));
    if !t.has("for") {
        t.missing(c, "for");
    }
    let calm = t.need_duration(c, "calm").map(|d| d.value);
    let tables = t.tables(c, "fault");
    if tables.is_empty() {
        c.error(
            t.span(),
            "[storm] needs at least one [[storm.fault]]: what can come",
        );
    }
    let mut kinds = Vec::new();
    for table in tables {
        kinds.extend(kind(c, table, places, seen));
    }
    t.finish(c);
    let storm = || {
        Some(Storm {
            from: from?,
            until: until?,
            faults: faults?.value,
            lasts: lasts?,
            calm: calm?,
        })
    };
    let storm = storm();
    for kind in &mut kinds {
        if let Some(storm) = &storm {
            kind.value.at = storm.from;
            kind.value.lasts = storm.lasts.1;
        }
    }
    (storm, kinds)
}

fn kind(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    places: &Place<'_>,
    seen: &mut Vec<String>,
) -> Option<At<Fault>> {
    let span = t.span();
    let name = actions::name(c, &mut t, seen);
    let what = actions::read(c, &mut t, places);
    t.finish(c);
    let (link, action) = what?;
    let value = Fault {
        name: name?.value,
        at: Duration::ZERO,
        lasts: Duration::ZERO,
        again: None,
        drawn: Some(Vec::new()),
        link: link.value,
        action,
        inject: true,
    };
    Some(At { value, span })
}

/// What `[quick]` changes.
pub(super) fn quick(c: &mut Collector<'_>, storm: &mut Storm, mut t: Table<'_, '_>) {
    let mut changed = |key, to: &mut Duration| {
        if let Some(d) = t.duration(c, key) {
            *to = d.value;
        }
    };
    changed("from", &mut storm.from);
    changed("until", &mut storm.until);
    changed("calm", &mut storm.calm);
    if let Some(n) = t.count(c, "faults") {
        storm.faults = n.value;
    }
    if let Some(lasts) = t.raw("for").and_then(|value| range(c, value)) {
        storm.lasts = lasts;
    }
    t.finish(c);
}

/// Whether the faults have room, and end while there is load to see the recovery.
pub(super) fn fits(c: &mut Collector<'_>, s: &Schedule, span: std::ops::Range<usize>) {
    let Some(storm) = &s.storm else { return };
    let kinds = s.faults.iter().filter(|f| f.drawn.is_some()).count();
    let words = humantime::format_duration;
    let why = if storm.faults > MAX_FAULTS {
        format!("a storm has at most {MAX_FAULTS} faults")
    } else if (storm.faults as usize) < kinds {
        format!("the storm has {kinds} kinds of faults, so it needs at least as many `faults`")
    } else if storm.until >= s.duration {
        let end = words(s.duration);
        format!("the storm must be over before the load ends ({end})")
    } else if storm.slot() < storm.lasts.1 + storm.calm {
        format!(
            "each fault has {} to come and go, and `for` and `calm` take up to {}",
            words(Duration::from_millis(storm.slot().as_millis() as u64)),
            words(storm.lasts.1 + storm.calm)
        )
    } else {
        return;
    };
    c.error(span, why);
}

fn range(c: &mut Collector<'_>, value: &Spanned<DeValue<'_>>) -> Option<(Duration, Duration)> {
    let both = value.get_ref().as_array().map(|items| {
        let read = items.iter().map(|item| duration(c, item));
        read.collect::<Option<Vec<_>>>()
    });
    match both.as_ref().map(Option::as_deref) {
        // Told already.
        Some(None) => None,
        Some(Some([low, high])) if !low.is_zero() && low <= high => Some((*low, *high)),
        _ => {
            let message =
                "`for` is how long a fault stays, at least and at most: [\"300ms\", \"2s\"]";
            c.error(value.span(), message);
            None
        }
    }
}
