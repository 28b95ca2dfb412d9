//! Runs of the outage scenario that never were: a model of the shop drives the
//! reducer, so that statistics, checks and tables can be tested in milliseconds.

mod busy;
mod folder;
mod orders;

pub(crate) use folder::{folder, write};
use loadtest::{Op, Outcome, Record};

use crate::checks::{Check, precondition};
use crate::control::Told;
use crate::event::{Event, Kind};
use crate::reducer::{Counted, Reducer, TrialSpec};
use crate::runlog::{Entry, Environment, Facts, Header, SCHEMA_VERSION, TrialStart, Usage};
use crate::scenario::Scenario;

const MS: u64 = 1_000_000;
pub(crate) const T0: u64 = 5_000_000 * MS;

/// A moment of a trial.
const fn at(ms: u64) -> u64 {
    T0 + ms * MS
}

pub(crate) const OUTAGE: &str = include_str!("../../scenarios/product-outage.toml");

/// What to make, and what to get wrong.
#[derive(Clone)]
pub(crate) struct Model {
    pub source: String,
    pub quick: bool,
    pub repeats: u32,
    /// The arm `fast` has no breaker.
    pub no_breaker: bool,
    /// The fault is injected.
    pub injected: bool,
    /// The injected fault does nothing.
    pub idle: bool,
    /// How long a refusal takes, in milliseconds.
    pub refusal_ms: u64,
    /// Orders lost in arm `none`, second repeat.
    pub lost: u64,
    /// The second repeat of arm `naive` never counts.
    pub void: bool,
    /// In so many tries at the second repeat of `naive` a request before the fault
    /// fails, and everything after it.
    pub stumbles: u32,
    /// The run was stopped.
    pub stopped: bool,
    /// There is a warm-up, and much goes on besides, see [`busy`].
    pub busy: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            source: OUTAGE.to_owned(),
            quick: false,
            repeats: 3,
            no_breaker: false,
            injected: true,
            idle: false,
            refusal_ms: 3,
            lost: 0,
            void: false,
            stumbles: 0,
            stopped: false,
            busy: false,
        }
    }
}

/// Everything that a run tells.
pub(crate) struct Made {
    pub entries: Vec<Entry>,
    pub rows: Vec<(TrialStart, Counted)>,
    pub events: Vec<(TrialStart, Event)>,
}

/// The lines of a whole run.
pub(crate) fn run(model: &Model) -> Vec<Entry> {
    make(model).entries
}

/// A whole run.
pub(crate) fn make(model: &Model) -> Made {
    let scenario = Scenario::parse(&model.source, "outage.toml").unwrap();
    let arms: Vec<String> = scenario.arms.iter().map(|a| a.name.clone()).collect();
    let mut entries = vec![Entry::Run(Box::new(Header {
        schema_version: SCHEMA_VERSION,
        scenario: scenario.name.clone(),
        file: scenario.file.clone(),
        source: model.source.clone(),
        seed: 7,
        quick: model.quick,
        negative_control: false,
        defects: Vec::new(),
        point: None,
        repeats: model.repeats,
        arms: arms.clone(),
        environment: Environment {
            version: "0.1.0".to_owned(),
            kind: "embedded".to_owned(),
            os: "linux x86_64".to_owned(),
            cores: 2,
            memory_bytes: Some(1 << 33),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
        },
    }))];
    let (mut rows, mut events) = (Vec::new(), Vec::new());
    let mut trial = 0;
    for repeat in 1..=model.repeats {
        for arm in &arms {
            let second_naive = repeat == 2 && arm == "naive";
            let stumbles = if second_naive { model.stumbles } else { 0 };
            let void = model.void && second_naive;
            for go in 1..=if void { 3 } else { (stumbles + 1).min(3) } {
                let mut shop = Shop::new(model, &scenario, arm, repeat, trial);
                shop.stumbles = go <= stumbles;
                let made = shop.trial(go, void);
                entries.extend(judged(made.entries, &scenario.checks));
                rows.extend(made.rows);
                events.extend(made.events);
                trial += 1;
            }
        }
    }
    entries.push(Entry::End {
        stopped: model.stopped.then(|| "cancelled".to_owned()),
    });
    Made {
        entries,
        rows,
        events,
    }
}

/// A trial with its preconditions decided, as a run does when it is over.
fn judged(mut trial: Vec<Entry>, checks: &[Check]) -> Vec<Entry> {
    let measured = crate::measure::Trial::from_entries(&trial).unwrap();
    let broken = precondition::broken(checks, &measured);
    if let (
        Some(b),
        Some(Entry::TrialEnd {
            void,
            preconditions,
            ..
        }),
    ) = (broken.first(), trial.last_mut())
    {
        *void = Some(format!("precondition {}: {}", b.id, b.why));
        preconditions.push(b.id.clone());
    }
    trial
}

struct Shop<'a> {
    model: &'a Model,
    arm: &'a str,
    repeat: u32,
    reset_ms: u64,
    at_ms: u64,
    until_ms: u64,
    duration_ms: u64,
    reducer: Reducer,
    trial: u32,
    /// The breaker: failures in a row, and until when it is open.
    in_a_row: u32,
    open_until_ms: Option<u64>,
    seq: u64,
    stumbles: bool,
    events: Vec<Event>,
    /// On how many requests the condition acted.
    acts: u64,
}

impl<'a> Shop<'a> {
    fn new(m: &'a Model, s: &Scenario, arm: &'a str, repeat: u32, trial: u32) -> Self {
        let plan = s.schedule(m.quick);
        let fault = &plan.faults[0];
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap();
        let reset_ms = ms(s.arm(arm).unwrap().reset(plan.faulted_links()));
        let faults = if m.injected {
            vec![("outage".into(), "order-product".into())]
        } else {
            vec![]
        };
        let reducer = Reducer::new(TrialSpec {
            trial,
            t0_ns: T0,
            warm_up_ns: 3_000 * MS,
            recovering_ns: (reset_ms + 2_000) * MS,
            faults,
            conditions: m
                .busy
                .then(|| (busy::SLOW.0.into(), busy::SLOW.1.into()))
                .into_iter()
                .collect(),
            rows: true,
            ..TrialSpec::default()
        });
        Self {
            model: m,
            arm,
            repeat,
            reset_ms,
            at_ms: ms(fault.at),
            until_ms: ms(fault.at + fault.lasts),
            duration_ms: ms(plan.duration),
            reducer,
            trial,
            in_a_row: 0,
            open_until_ms: None,
            seq: 0,
            stumbles: false,
            events: Vec::new(),
            acts: 0,
        }
    }

    fn trial(mut self, go: u32, void: bool) -> Made {
        let trial = self.trial;
        let start = TrialStart {
            trial,
            arm: self.arm.to_owned(),
            repeat: self.repeat,
            go,
            seed: u64::from(self.repeat),
            reset_us: i64::try_from(self.reset_ms * 1_000).unwrap(),
            policies: Default::default(),
        };
        let mut out = vec![Entry::Trial(start.clone())];
        let mut rows = Vec::new();
        for ms in (0..self.duration_ms).step_by(10) {
            if self.model.injected && ms == self.at_ms {
                self.reducer.inject_begins("outage", T0 + ms * MS);
                self.reducer
                    .inject_done("outage", T0 + ms * MS, T0 + (ms + 2) * MS);
            }
            if self.model.injected && ms == self.until_ms {
                self.reducer
                    .cleared("outage", T0 + ms * MS, T0 + (ms + 2) * MS);
            }
            // 20 orders and 50 browses a second, a little apart in each repeat.
            self.bustle(ms);
            let shift = u64::from(self.repeat) * 10;
            if (ms + shift) % 50 == 0 {
                self.order(ms);
            }
            if ms % 20 == 0 {
                let sick = self.stumbles && (ms == 5_000 || ms > self.at_ms);
                let outcome = if sick { Outcome::Failed } else { Outcome::Ok };
                self.request(ms, Op::Browse, 2, outcome);
            }
            out.extend(self.reducer.tick(T0 + ms * MS));
            rows.extend(self.reducer.counted());
        }
        out.extend(self.reducer.finish(T0 + (self.duration_ms + 5_000) * MS));
        rows.extend(self.reducer.counted());
        out.extend(self.ending(void));
        Made {
            entries: out,
            rows: rows.into_iter().map(|r| (start.clone(), r)).collect(),
            events: self
                .events
                .into_iter()
                .map(|e| (start.clone(), e))
                .collect(),
        }
    }

    fn ending(&self, void: bool) -> Vec<Entry> {
        let trial = self.trial;
        let lost = if self.arm == "none" && self.repeat == 2 {
            self.model.lost
        } else {
            0
        };
        let usage = Usage {
            trial,
            wall_us: 30_000_000,
            generator_us: 900_000,
            parts_us: [("order".to_owned(), 2_000_000)].into(),
            late_p99_us: 800,
            planned: 2_100,
            sent: 2_100,
        };
        let facts = Facts {
            acknowledged: 400,
            listed: 400 - lost,
            lost_orders: lost,
            ..Facts::default()
        };
        let why = void.then(|| "arrivals were late".to_owned());
        let mut ending = self.acted();
        ending.extend([
            Entry::Usage(usage),
            Entry::Facts { trial, facts },
            Entry::TrialEnd {
                trial,
                void: why,
                preconditions: Vec::new(),
            },
        ]);
        ending
    }

    fn down(&self, ms: u64) -> bool {
        self.model.injected && !self.model.idle && (self.at_ms..self.until_ms).contains(&ms)
    }

    fn request(&mut self, ms: u64, op: Op, took_ms: u64, outcome: Outcome) {
        let record = self.record(ms, op, took_ms, outcome);
        self.reducer.record(&record);
    }

    fn record(&self, ms: u64, op: Op, took_ms: u64, outcome: Outcome) -> Record {
        let scheduled_ns = at(ms);
        Record {
            index: ms,
            request_id: format!("{}-{op}-{ms}", self.repeat),
            op,
            scheduled_ns,
            started_ns: scheduled_ns,
            ended_ns: scheduled_ns + took_ms * MS,
            status: if outcome.is_success() { 200 } else { 503 },
            outcome,
            code: None,
            order_id: None,
            degraded: false,
            error: None,
            sent: true,
            customer: 1,
            lines: Vec::new(),
            stream: if op == Op::Order { "0" } else { "1" }.to_owned(),
            priority: (op == Op::Order).then(|| "critical".to_owned()),
            retry_after: outcome == Outcome::Rejected,
            attempts: 1,
            bytes: 0,
        }
    }

    fn tell(&mut self, ms: u64, kind: Kind) {
        self.seq += 1;
        let (seq, t_ns) = (self.seq, at(ms));
        let event = Event {
            seq,
            t_ns,
            service: "order".to_owned(),
            kind,
        };
        self.events.push(event.clone());
        self.reducer.told(Told::Event(event));
    }
}
