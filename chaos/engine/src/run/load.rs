//! The load of a trial: what is sent where, and what its own policy decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use loadtest::fixtures::Catalogue;
use loadtest::{LoadError, LoadTarget, Record, RunStats};
use resilience::SlotSpec;
use resilience::observe::{self, Observer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::trial::Trial;
use crate::control::Told;
use crate::error::EngineError;
use crate::event::{CallRef, Event, Kind};
use crate::scenario::{Arm, known};
use crate::target::Target;

impl Trial<'_> {
    pub(super) async fn generate(
        &self,
        target: LoadTarget,
        records: mpsc::Sender<Record>,
        start_ns: u64,
        stop: CancellationToken,
    ) -> Result<RunStats, LoadError> {
        let schedule = &self.schedule;
        let plan = loadtest::Plan {
            streams: schedule.streams.clone(),
            warm_up: schedule.warm_up,
            duration: schedule.warm_up + schedule.duration,
            seed: self.plan.seed_of(self.go.repeat),
        };
        loadtest::run(&plan, target, records, start_ns, stop).await
    }

    /// Where the load goes: the shop with its customers, or the requests of another
    /// target. Its own policy's decisions go to `told`, or are `lost`.
    pub(super) fn load_target(
        &self,
        catalogue: Option<&Catalogue>,
        told: mpsc::Sender<Told>,
        lost: &Arc<AtomicBool>,
    ) -> Result<LoadTarget, EngineError> {
        let target = &self.rig.target;
        // The arms of a repeat share their request ids, so that they meet the
        // same fate request by request.
        let prefix = format!("r{}", self.go.repeat);
        let mut load = match catalogue {
            Some(made) => made.target(target.entry.clone(), &target.lab_token, &prefix),
            None => LoadTarget {
                run: prefix,
                ..LoadTarget::new(target.entry.clone())
            },
        };
        if let Some(plain) = &target.load {
            load.requests = plain.requests.clone();
        }
        load.orders = self.go.arm.orders;
        if self.go.arm.named.contains(known::LOAD) {
            load.policies = policies(self.go.arm)?;
            load.observer = Arc::new(Tell {
                told,
                lost: Arc::clone(lost),
                seq: AtomicU64::new(1),
            });
        }
        Ok(load)
    }
}

fn policies(arm: &Arm) -> Result<Vec<(u32, resilience::Policy)>, EngineError> {
    let spec = arm.specs[known::LOAD].clone();
    let resolved = SlotSpec::try_from(spec).and_then(|spec| spec.resolve());
    resolved.map_err(|e| EngineError::Load(format!("the policy of `load`: {e}")))
}

/// Tells what the load's own policy decides, as the services tell of theirs.
struct Tell {
    told: mpsc::Sender<Told>,
    lost: Arc<AtomicBool>,
    seq: AtomicU64,
}

impl Observer for Tell {
    fn on(&self, event: &observe::Event<'_>) {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        if let Some(event) = Event::observed(seq, known::LOAD, event) {
            // An observer must not wait; the channel has room for seconds of full load.
            if self.told.try_send(Told::Event(event)).is_err() {
                self.lost.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The load's requests as attempts over the link that it goes over, where a target has
/// nobody else to tell of them.
pub(super) fn as_attempt(target: &Target, record: &Record) -> Option<[Told; 2]> {
    let link = target.load.as_ref()?.link.as_ref()?;
    let call = || CallRef {
        link: link.clone(),
        method: record.op.to_string(),
        request_id: record.request_id.clone(),
    };
    let ok = record.outcome.is_success();
    let told = |kind| {
        Told::Event(Event {
            seq: 0,
            t_ns: record.ended_ns,
            service: known::LOAD.to_owned(),
            kind,
        })
    };
    let attempt = Kind::Attempt {
        call: call(),
        attempt: 1,
        started_ns: record.started_ns,
        ok,
        status: (!ok).then(|| status(record)),
        failure: (!ok).then(|| "unknown".to_owned()),
        cancelled: false,
    };
    let ended = Kind::Call {
        call: call(),
        outcome: if ok { "ok" } else { "failed" }.to_owned(),
        attempts: 1,
        started_ns: record.started_ns,
    };
    Some([told(attempt), told(ended)])
}

fn status(record: &Record) -> String {
    match record.status {
        0 => "no answer".to_owned(),
        status => status.to_string(),
    }
}
