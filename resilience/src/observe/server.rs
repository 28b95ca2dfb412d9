//! The metrics of a server's door.

use ::metrics::{Counter, Gauge, Unit, counter, describe_gauge, gauge};

use super::Event;
use crate::call::Reason;
use crate::server::ShedReason;
use crate::slot::SlotName;

/// The handles of one door.
pub(super) struct ServerMetrics {
    limit: Gauge,
    inflight: Gauge,
    shed: Counter,
    deadline: Counter,
    /// A gauge that only rises. The facade's counters are whole numbers, and most wasted work is
    /// of far less than a second: counted whole it would show in jumps, or never.
    wasted: Gauge,
}

impl ServerMetrics {
    pub(super) fn new(name: &SlotName) -> Self {
        let (service, dependency) = (name.service.clone(), name.dependency.clone());
        let labels = [("service", service.clone()), ("dependency", dependency)];
        let rejected = |reason: Reason| {
            let [service, dependency] = labels.clone();
            let labels = [service, dependency, ("reason", reason.as_str().to_owned())];
            counter!("resilience_rejected_total", &labels)
        };
        Self {
            limit: gauge!("resilience_concurrency_limit", &labels),
            inflight: gauge!("resilience_inflight", &labels),
            shed: rejected(Reason::Shed),
            deadline: rejected(Reason::Deadline),
            wasted: gauge!("resilience_wasted_work_seconds_total", "service" => service),
        }
    }

    pub(super) fn on(&self, event: &Event<'_>) {
        match *event {
            Event::ServerPolicy { limit, .. } => self.set_limit(limit),
            Event::Admitted { limit, .. } => {
                self.inflight.increment(1);
                self.set_limit(limit);
            }
            Event::Shed { reason, .. } => match reason {
                ShedReason::Deadline => self.deadline.increment(1),
                ShedReason::Full | ShedReason::Wait | ShedReason::Priority => {
                    self.shed.increment(1);
                }
            },
            Event::Finished {
                took,
                wasted,
                limit,
                ..
            } => {
                self.inflight.decrement(1);
                self.set_limit(limit);
                if wasted {
                    self.wasted.increment(took.as_secs_f64());
                }
            }
            _ => {}
        }
    }

    /// No limit is an infinite one: the line of a graph ends at the top, not at zero.
    fn set_limit(&self, limit: Option<u32>) {
        self.limit.set(limit.map_or(f64::INFINITY, f64::from));
    }
}

pub(super) fn describe() {
    describe_gauge!(
        "resilience_concurrency_limit",
        Unit::Count,
        "Requests that a server may work on at once; infinite without a limit."
    );
    describe_gauge!(
        "resilience_wasted_work_seconds_total",
        Unit::Seconds,
        "Time spent on requests whose caller had gone."
    );
}
