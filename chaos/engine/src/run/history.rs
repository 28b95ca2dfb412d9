//! The load whose every operation is written down: the integrity checker's customers, and the
//! judgement of what they saw.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use integrity::http::{HttpShop, Person, Places, Sent, Watch};
use integrity::{FaultNote, FaultPhase, Limits, Report, Workload};
use loadtest::fixtures::{Catalogue, Product};
use loadtest::{Customer, Op, Outcome, Record, RunStats, clock};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::trial::Trial;
use crate::error::EngineError;
use crate::progress::Stage;
use crate::runlog::{Entry, Facts, Judged, RuleJudged, StoryTold};
use crate::scenario::HistoryLoad;

/// After the load a saga has its time to live (30 s) and 5 s, and a mail its retries.
const REST: Duration = Duration::from_secs(60);

/// The customers of one trial, with their log.
pub(super) struct Historian {
    workload: Workload,
    shop: HttpShop,
    tally: Arc<Tally>,
    limits: Limits,
    file: PathBuf,
}

impl Trial<'_> {
    /// Customers at the shop's door, who have not begun yet.
    pub(super) async fn historian(
        &self,
        load: HistoryLoad,
        catalogue: &Catalogue,
        run: &str,
        records: mpsc::Sender<Record>,
    ) -> Result<Historian, EngineError> {
        let tally = Arc::new(Tally::new(records));
        let watch: Arc<dyn Watch> = Arc::clone(&tally) as _;
        let prefix = format!("r{}", self.go.repeat);
        let shop = self.shop(catalogue, run).await?.watched(&prefix, watch);
        let file = self.files.history(self.go.trial);
        let log = File::create(&file).map_err(|e| EngineError::io(&file, e))?;
        let customers = catalogue.customers.iter().map(|c| c.user_id).collect();
        let seed = self.plan.seed_of(self.go.repeat);
        let mut config = integrity::Config::new(run, seed, customers, priced(&catalogue.products)?);
        config.pause = load.pause;
        config.timeout = load.timeout;
        config.settle = load.timeout;
        config.rest = REST;
        config.limits.reset = self.reset();
        config.zero_ns = clock::now_ns();
        config.log = Some(Box::new(log));
        Ok(Historian {
            limits: config.limits,
            workload: Workload::begin(config),
            shop,
            tally,
            file,
        })
    }

    async fn shop(&self, catalogue: &Catalogue, run: &str) -> Result<HttpShop, EngineError> {
        let target = &self.rig.target;
        let of = |part| target.control_of(part).map(ToString::to_string);
        let places = Places {
            entry: target.entry.to_string(),
            product: of("product")?,
            order: of("order")?,
            payment: of("payment").ok(),
            lab_token: target.lab_token.clone(),
        };
        let (staff, admin) = self.rig.keepers(run).await?;
        let people = catalogue.customers.iter();
        let people: BTreeMap<i64, Person> = people.map(|c| (c.user_id, person(c))).collect();
        // Neither redirects nor repeats nor proxies of the environment: what is written down is what
        // is sent.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(|e| EngineError::Load(e.to_string()))?;
        let (staff, admin) = (person(&staff), person(&admin));
        Ok(HttpShop::new(client, places, people, staff, admin))
    }

    /// Waits for rest, and judges the history. Whether a rule was broken, and why the history
    /// proves nothing, if so.
    pub(super) async fn judge(
        &self,
        historian: Historian,
    ) -> Result<(bool, Option<String>), EngineError> {
        self.stage(Stage::Counting);
        let ran = historian.workload.rest(&historian.shop).await;
        let (limits, file) = (historian.limits, historian.file);
        let judging = tokio::task::spawn_blocking(move || {
            let report = Report::of(ran.records, &limits, ran.trouble);
            super::files::pack(&file).map(|packed| (report, packed))
        });
        let judged = judging
            .await
            .map_err(|e| EngineError::Load(e.to_string()))?;
        let (report, packed) = judged?;
        let trial = self.go.trial;
        self.append(Entry::Facts {
            trial,
            facts: facts(&report),
        })?;
        let broken = report.verdict == integrity::Verdict::Broken;
        let why = report.inconclusive.join("; ");
        let judged = Box::new(judged_of(report, packed));
        self.append(Entry::Judged { trial, judged })?;
        Ok((broken, (!why.is_empty()).then_some(why)))
    }
}

impl Historian {
    /// No request of the load comes from here on, however it ended.
    pub(super) fn close(&self) {
        self.tally.close();
    }

    /// The customers' day from now on until `end_ns`.
    pub(super) async fn load(
        self: Arc<Self>,
        faults: mpsc::UnboundedReceiver<FaultNote>,
        end_ns: u64,
        stop: CancellationToken,
    ) -> RunStats {
        let (cpu, began_ns) = (clock::process_cpu(), clock::now_ns());
        let left = Duration::from_nanos(end_ns.saturating_sub(began_ns));
        let end = Instant::now() + left;
        let halt = stop.clone();
        let over = async move {
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                () = halt.cancelled() => {}
            }
        };
        let faults = futures_util::stream::unfold(faults, |mut faults| async {
            faults.recv().await.map(|note| (note, faults))
        });
        self.workload.load(&self.shop, faults.boxed(), over).await;
        let sent = self.tally.close();
        RunStats {
            planned: sent,
            sent,
            completed: sent,
            generator_full: 0,
            dropped_records: self.tally.dropped(),
            in_flight_max: 0,
            lateness: loadtest::Histogram::new(),
            cpu_ns: clock::as_ns(clock::process_cpu().saturating_sub(cpu)),
            wall_ns: clock::now_ns().saturating_sub(began_ns),
            stopped: stop.is_cancelled(),
            not_renewed: None,
        }
    }
}

/// Makes the run's requests of what customers do.
struct Tally {
    state: Mutex<Counted>,
}

struct Counted {
    records: Option<mpsc::Sender<Record>>,
    sent: u64,
    dropped: u64,
}

impl Tally {
    fn new(records: mpsc::Sender<Record>) -> Self {
        let state = Counted {
            records: Some(records),
            sent: 0,
            dropped: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// What is read from here on is the checker's. How many requests there were.
    fn close(&self) -> u64 {
        let mut state = self.state.lock();
        state.records = None;
        state.sent
    }

    fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

impl Watch for Tally {
    fn ended(&self, request: Sent) {
        let mut state = self.state.lock();
        let Some(records) = &state.records else {
            return;
        };
        let full = records.try_send(record(request, state.sent)).is_err();
        state.sent += 1;
        state.dropped += u64::from(full);
    }
}

fn record(request: Sent, index: u64) -> Record {
    let ended_ns = clock::now_ns();
    let began_ns = ended_ns.saturating_sub(clock::as_ns(request.took));
    let outcome = outcome(&request);
    let told = |is: bool| (is && !request.why.is_empty()).then(|| request.why.clone());
    Record {
        index,
        request_id: request.request_id.clone(),
        op: match request.call {
            "place" | "cancel" => Op::Order,
            _ => Op::History,
        },
        scheduled_ns: began_ns,
        started_ns: began_ns,
        ended_ns,
        status: request.status,
        outcome,
        code: told(request.status != 0),
        order_id: None,
        degraded: request.stale,
        error: told(request.status == 0),
        sent: request.sent,
        customer: request.user,
        lines: Vec::new(),
        stream: request.call.to_owned(),
        priority: None,
        retry_after: false,
        attempts: u32::from(request.sent),
        bytes: 0,
    }
}

/// Some of what customers ask for can't be had: another basket under an old key, an order called
/// off too late, a key whose order is still under way.
fn outcome(request: &Sent) -> Outcome {
    match request.status {
        _ if request.done && request.stale => Outcome::Degraded,
        _ if request.done => Outcome::Ok,
        400 | 409 | 422 if matches!(request.call, "place" | "cancel") => Outcome::Ok,
        429 => Outcome::Rejected,
        503 if request.why.contains("service_unavailable") => Outcome::Rejected,
        _ => Outcome::Failed,
    }
}

/// What is told of a fault's coming and going.
pub(super) fn note(fault: &str, what: &str, on: bool) -> FaultNote {
    let phase = if on { FaultPhase::On } else { FaultPhase::Off };
    FaultNote::new(fault, phase, what)
}

fn person(of: &Customer) -> Person {
    Person {
        token: of.access.clone(),
        address: Some(of.address),
    }
}

/// Products with their prices in cents.
fn priced(products: &[Product]) -> Result<Vec<(i64, i64)>, EngineError> {
    let price = |product: &Product| {
        let cents = product.price.replace('.', "").parse().ok();
        let two = product
            .price
            .split_once('.')
            .is_some_and(|(_, c)| c.len() == 2);
        cents.filter(|_| two).map(|cents| (product.id, cents))
    };
    let all = products.iter().map(price).collect::<Option<_>>();
    all.ok_or_else(|| EngineError::Load("a product's price has no two decimals".to_owned()))
}

fn facts(report: &Report) -> Facts {
    let violations: usize = report.rules.iter().map(|rule| rule.violations).sum();
    Facts {
        acknowledged: report.counts.orders,
        indeterminate: report.counts.info,
        listed: report.counts.listed,
        lost_orders: report.damage.lost,
        duplicate_orders: report.damage.duplicate,
        oversold: report.damage.oversold,
        violations: Some(violations as u64),
    }
}

fn judged_of(report: Report, history: String) -> Judged {
    let rule = |row: &integrity::Row| RuleJudged {
        number: row.number,
        words: row.words.to_owned(),
        result: row.result.to_owned(),
        violations: row.violations as u64,
        why: row.why.map(str::to_owned),
    };
    let story = |story: &integrity::story::Story| StoryTold {
        rule: story.violation.rule.to_string(),
        what: story.violation.what.clone(),
        lines: story.lines.clone(),
        ops: (story.ops.len() as u64, story.of as u64),
    };
    // Counts are numbers by name, which always serialise.
    let counts = serde_json::to_value(report.counts).unwrap_or_default();
    let verdict = serde_json::to_value(report.verdict).unwrap_or_default();
    Judged {
        verdict: verdict.as_str().unwrap_or_default().to_owned(),
        history,
        counts: serde_json::from_value(counts).unwrap_or_default(),
        calm_rate: report.steady.rate(),
        rules: report.rules.iter().map(rule).collect(),
        stories: report.stories.iter().map(story).collect(),
        inconclusive: report.inconclusive,
    }
}
