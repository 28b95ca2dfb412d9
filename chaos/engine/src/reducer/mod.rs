//! The one reducer: from what the load, the parts and the time line tell, to the
//! lines of the run log.
//!
//! It is a state machine without I/O or clock of its own, so that synthetic
//! streams can drive it. Requests and events come by different ways and in any
//! order; they are joined by request id. A finished request is held for
//! [`HOLD_NS`] before it is counted, so that events that are still under way find
//! it; an event that comes even later is counted in another frame of the same
//! second.
//!
//! A request's phase follows from its life `[scheduled, ended]` and the measured
//! window of the fault, from the begin of the injection to the confirmation of
//! the clearing. Attempts and calls have the phase of their request, but for a
//! request that met the fault: each of its calls (and the attempts made for it)
//! has that of its own life, since an order whose third call was cut off had two
//! that were not. With several faults the window is their hull, and each cell
//! names the faults it overlaps.

mod breakers;
#[cfg(test)]
mod deeds_tests;
mod events;
mod frames;
mod seen;
mod story;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{HashMap, VecDeque};

use loadtest::{Outcome, Record};

use crate::control::Told;
use crate::runlog::{Entry, Outcomes, Phase};
use breakers::Breakers;
use frames::Frames;
use seen::SeenBy;
use story::{Attempt, Call, Ended, Place, Story};
pub use story::{Counted, Health, TrialSpec};
use window::Windows;

/// How long a finished request waits for its events.
pub const HOLD_NS: u64 = 300_000_000;

/// How long the steady seconds before second 0 are.
pub const STEADY_NS: u64 = 2_000_000_000;

/// How long a counted request is remembered for events that come late, and an
/// event for a request that never comes.
const MEMORY_NS: u64 = 60_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct Reducer {
    spec: TrialSpec,
    windows: Windows,
    stories: HashMap<String, (u64, Story)>,
    due: VecDeque<Ended>,
    counted: HashMap<String, (u64, Place)>,
    frames: Frames,
    breakers: Breakers,
    seen: SeenBy,
    out: Vec<Entry>,
    rows: Vec<Counted>,
    phase: Option<Phase>,
    health: Health,
    forgotten_ns: u64,
}

impl Reducer {
    /// A reducer for one trial.
    #[must_use]
    pub fn new(spec: TrialSpec) -> Self {
        Self {
            windows: Windows::new(&spec),
            stories: HashMap::new(),
            due: VecDeque::new(),
            counted: HashMap::new(),
            frames: Frames::new(&spec),
            breakers: Breakers::default(),
            seen: SeenBy::new(&spec),
            out: told_at_once(&spec),
            rows: Vec::new(),
            phase: None,
            health: Health::default(),
            forgotten_ns: 0,
            spec,
        }
    }

    /// What can make the trial void, so far.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// A request has ended.
    pub fn record(&mut self, record: &Record) {
        self.health.ended += 1;
        self.health.rate_limited += u64::from(record.status == 429);
        let (t0, due) = (self.spec.t0_ns, record.scheduled_ns);
        if due < t0 && due + STEADY_NS >= t0 {
            self.health.steady += 1;
            self.health.unsteady += u64::from(!record.outcome.is_success());
        }
        self.frames.flow(record);
        let ended = Ended::of(record, self.spec.rows);
        // Records come almost in order, so the place is found near the end.
        let at = self
            .due
            .iter()
            .rposition(|e| e.ended_ns <= ended.ended_ns)
            .map_or(0, |i| i + 1);
        self.due.insert(at, ended);
    }

    /// A part has told something.
    pub fn told(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.event(event),
            Told::Gap { t_ns, service, why } => {
                self.health.gap = true;
                let (trial, t_us) = (self.spec.trial, self.spec.t_us(t_ns));
                self.out.push(Entry::Gap {
                    trial,
                    t_us,
                    service,
                    why,
                });
            }
        }
    }

    /// A fault begins to be injected.
    pub fn inject_begins(&mut self, fault: &str, ns: u64) {
        self.windows.begin(fault, ns);
        self.seen.begins(fault, ns);
        self.enter(Phase::During, ns);
    }

    /// The injector has confirmed it.
    pub fn inject_done(&mut self, fault: &str, begin_ns: u64, done_ns: u64) {
        let (trial, link) = (self.spec.trial, self.link_of(fault));
        let (t_us, done_us) = (self.spec.t_us(begin_ns), self.spec.t_us(done_ns));
        self.out.push(Entry::Inject {
            trial,
            t_us,
            done_us,
            fault: fault.to_owned(),
            link,
        });
    }

    /// A fault has been cleared, and the injector has confirmed it.
    pub fn cleared(&mut self, fault: &str, begin_ns: u64, done_ns: u64) {
        self.windows.end(fault, done_ns);
        self.seen.ends(fault, done_ns);
        let (trial, link) = (self.spec.trial, self.link_of(fault));
        let (t_us, done_us) = (self.spec.t_us(begin_ns), self.spec.t_us(done_ns));
        self.out.push(Entry::Clear {
            trial,
            t_us,
            done_us,
            fault: fault.to_owned(),
            link,
        });
        if let Some(end) = self.windows.over() {
            self.enter(Phase::Recovering, end);
        }
    }

    fn link_of(&self, fault: &str) -> String {
        let found = self.spec.faults.iter().find(|(name, _)| name == fault);
        found.map(|(_, link)| link.clone()).unwrap_or_default()
    }

    fn enter(&mut self, phase: Phase, ns: u64) {
        if self.phase < Some(phase) {
            self.phase = Some(phase);
            let (trial, t_us) = (self.spec.trial, self.spec.t_us(ns));
            self.out.push(Entry::Phase { trial, t_us, phase });
        }
    }

    /// Time has come to `now_ns`: returns the lines that are ready.
    pub fn tick(&mut self, now_ns: u64) -> Vec<Entry> {
        self.phases_by_time(now_ns);
        self.breakers.settle(now_ns);
        while self
            .due
            .front()
            .is_some_and(|e| e.ended_ns + HOLD_NS <= now_ns)
        {
            if let Some(ended) = self.due.pop_front() {
                self.count(&ended, now_ns);
            }
        }
        self.forget(now_ns);
        let ready = self.frames.ready(now_ns, &self.breakers);
        self.out.extend(ready);
        std::mem::take(&mut self.out)
    }

    /// The load has ended and nothing more is expected: returns the rest.
    pub fn finish(&mut self, now_ns: u64) -> Vec<Entry> {
        self.phases_by_time(now_ns);
        while let Some(ended) = self.due.pop_front() {
            self.count(&ended, now_ns);
        }
        self.breakers.settle(u64::MAX);
        let rest = self.frames.rest(&self.breakers);
        self.out.extend(rest);
        self.out.extend(self.breakers.stretches(&self.spec));
        self.out.extend(self.seen.entries(self.spec.trial));
        std::mem::take(&mut self.out)
    }

    fn phases_by_time(&mut self, now_ns: u64) {
        if now_ns >= self.spec.t0_ns {
            self.enter(Phase::Before, self.spec.t0_ns);
        }
        let recovered = self.windows.over().map(|end| end + self.spec.recovering_ns);
        if let Some(ns) = recovered.filter(|ns| now_ns >= *ns) {
            self.enter(Phase::After, ns);
        }
    }

    fn count(&mut self, ended: &Ended, now_ns: u64) {
        let (phase, faults) = self.windows.of(ended.scheduled_ns, ended.ended_ns);
        let place = Place {
            second: self.spec.second(ended.ended_ns),
            phase,
            faults,
        };
        let story = self
            .stories
            .remove(&ended.request_id)
            .map(|(_, s)| s)
            .unwrap_or_default();
        self.frames.request(&place, ended, story.refused_first);
        self.count_story(&story, &place);
        self.hand_out(ended, &place, story.refused_first);
        self.counted
            .insert(ended.request_id.clone(), (now_ns, place));
    }

    fn hand_out(&mut self, ended: &Ended, place: &Place, refused: bool) {
        let Some(record) = &ended.record else { return };
        let at = |ns| self.spec.t_us(ns);
        self.rows.push(Counted {
            scheduled_us: at(record.scheduled_ns),
            started_us: at(record.started_ns),
            ended_us: at(record.ended_ns),
            phase: place.phase,
            faults: place.faults.clone(),
            refused,
            record: (**record).clone(),
        });
    }

    /// The requests that were counted since this was last asked, where [`TrialSpec::rows`]
    /// wants them: to be asked after each [`tick`](Self::tick) and after
    /// [`finish`](Self::finish).
    pub fn counted(&mut self) -> Vec<Counted> {
        std::mem::take(&mut self.rows)
    }

    fn count_story(&mut self, story: &Story, place: &Place) {
        for attempt in &story.attempts {
            let life = story.life(&attempt.link, attempt.started_ns, attempt.ended_ns);
            let place = self.place_of(place, life);
            self.seen.attempt(attempt, place.phase);
            self.frames.attempt(&place, attempt);
        }
        for call in &story.calls {
            let place = self.place_of(place, (call.started_ns, call.ended_ns));
            self.frames.call(&place, call);
        }
        for deed in &story.deeds {
            let life = story.life(&deed.link, deed.at_ns, deed.at_ns);
            let place = self.place_of(place, life);
            self.frames.deed(&place, deed);
        }
    }

    /// Where a call of a request belongs. A request that met the fault may have made
    /// calls before it began or after it was over, and those tell nothing of it.
    fn place_of(&self, request: &Place, (started_ns, ended_ns): (u64, u64)) -> Place {
        if request.phase != Phase::During {
            return request.clone();
        }
        let (phase, faults) = self.windows.of(started_ns, ended_ns);
        Place {
            second: request.second,
            phase,
            faults,
        }
    }

    /// Drops what is too old to be joined, about once a second.
    fn forget(&mut self, now_ns: u64) {
        if now_ns < self.forgotten_ns + 1_000_000_000 {
            return;
        }
        self.forgotten_ns = now_ns;
        self.stories
            .retain(|_, (since, _)| *since + MEMORY_NS > now_ns);
        self.counted
            .retain(|_, (since, _)| *since + MEMORY_NS > now_ns);
    }
}

fn outcome(outcome: Outcome) -> Outcomes {
    let mut o = Outcomes::default();
    match outcome {
        Outcome::Ok => o.ok = 1,
        Outcome::Degraded => o.degraded = 1,
        Outcome::Rejected => o.rejected = 1,
        Outcome::Failed => o.failed = 1,
    }
    o
}

/// What the log says of a trial before anything has happened in it.
fn told_at_once(spec: &TrialSpec) -> Vec<Entry> {
    let trial = spec.trial;
    let window = |(name, from_us, to_us): &(String, i64, i64)| Entry::Window {
        trial,
        name: name.clone(),
        from_us: *from_us,
        to_us: *to_us,
    };
    let condition = |(name, link): &(String, String)| Entry::Condition {
        trial,
        name: name.clone(),
        link: link.clone(),
    };
    let conditions = spec.conditions.iter().map(condition);
    spec.marks.iter().map(window).chain(conditions).collect()
}

/// A duration in microseconds.
pub(crate) fn us(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds from second 0.
pub(crate) fn t_us(t0_ns: u64, ns: u64) -> i64 {
    let (late, early) = (ns.saturating_sub(t0_ns), t0_ns.saturating_sub(ns));
    i64::try_from(late / 1_000).unwrap_or(i64::MAX) - i64::try_from(early / 1_000).unwrap_or(0)
}
