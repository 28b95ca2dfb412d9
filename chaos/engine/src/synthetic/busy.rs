//! What `product-outage` has none of: waits, second copies, requests shed and work wasted, a
//! condition with acts of its own, and requests that were under way when the fault came and
//! when it went.

use loadtest::{Op, Outcome};

use super::Shop;
use crate::event::{CallRef, Kind};
use crate::runlog::Entry;

/// The condition, and its link.
pub(super) const SLOW: (&str, &str) = ("slow", "order-user");

/// What no other request of the model does, so that ids differ.
const OP: Op = Op::History;

fn call(link: &str, request_id: &str) -> CallRef {
    CallRef {
        link: link.to_owned(),
        method: "Get".to_owned(),
        request_id: request_id.to_owned(),
    }
}

impl Shop<'_> {
    /// What goes on besides at this moment.
    pub(super) fn bustle(&mut self, ms: u64) {
        if !self.model.busy {
            return;
        }
        match ms {
            0 => self.warm_up(),
            _ if ms + 20 == self.at_ms || ms + 20 == self.until_ms => self.across(ms),
            _ if ms % 700 == 30 => self.hedged(ms),
            _ => {}
        }
    }

    /// A request of the warm-up with its call, of which nothing may count.
    fn warm_up(&mut self) {
        let id = format!("{}-warm-up", self.repeat);
        let user = call("order-user", &id);
        let mut record = self.record(0, OP, 0, Outcome::Ok);
        record.request_id = id;
        record.scheduled_ns -= 1_500 * super::MS;
        record.started_ns = record.scheduled_ns;
        // It is under way still when the load begins.
        record.ended_ns += super::MS;
        self.attempt(&user, 1, (0, 1), None);
        self.ended(user, 1, (0, 1));
        self.reducer.record(&record);
    }

    fn attempt(&mut self, call: &CallRef, attempt: u32, life: (u64, u64), failure: Option<&str>) {
        self.tell(
            life.1,
            Kind::Attempt {
                call: call.clone(),
                attempt,
                started_ns: super::at(life.0),
                ok: failure.is_none(),
                status: failure.map(|_| "CANCELLED".to_owned()),
                failure: failure.filter(|why| *why != "dropped").map(str::to_owned),
                cancelled: failure == Some("dropped"),
            },
        );
    }

    fn ended(&mut self, call: CallRef, attempts: u32, life: (u64, u64)) {
        self.tell(
            life.1,
            Kind::Call {
                call,
                outcome: "ok".to_owned(),
                attempts,
                started_ns: super::at(life.0),
            },
        );
    }

    /// A request that is under way for 20 ms before and 30 ms after `ms + 20`, with a call on
    /// either side of that moment and one across it.
    fn across(&mut self, ms: u64) {
        let id = format!("{}-{OP}-{ms}", self.repeat);
        let (user, product) = (call("order-user", &id), call("order-product", &id));
        self.attempt(&user, 1, (ms + 2, ms + 8), None);
        self.ended(user.clone(), 1, (ms + 2, ms + 8));
        self.attempt(&product, 1, (ms + 10, ms + 14), Some("timeout"));
        self.tell(
            ms + 14,
            Kind::Wait {
                call: product.clone(),
                attempt: 2,
                wait_us: 10_000,
            },
        );
        self.attempt(&product, 2, (ms + 24, ms + 30), None);
        self.ended(product, 2, (ms + 10, ms + 30));
        self.attempt(&user, 1, (ms + 32, ms + 40), None);
        self.ended(user, 1, (ms + 32, ms + 40));
        self.request(ms, OP, 50, Outcome::Ok);
    }

    /// A slow call with a second copy that won; the first was cut short, and its work wasted.
    /// Another request was shed.
    fn hedged(&mut self, ms: u64) {
        let id = format!("{}-{OP}-{ms}", self.repeat);
        let user = call("order-user", &id);
        self.acts += 1;
        self.tell(
            ms + 1,
            Kind::Fault {
                fault: SLOW.0.to_owned(),
                call: user.clone(),
                attempt: 1,
                action: "delay".to_owned(),
                delay_us: Some(90_000),
            },
        );
        self.tell(
            ms + 5,
            Kind::Hedge {
                call: user.clone(),
                attempt: 2,
                after_us: 5_000,
            },
        );
        self.attempt(&user, 2, (ms + 5, ms + 9), None);
        self.tell(
            ms + 9,
            Kind::HedgeWon {
                call: user.clone(),
                attempt: 2,
            },
        );
        self.attempt(&user, 1, (ms, ms + 9), Some("dropped"));
        self.ended(user, 2, (ms, ms + 9));
        let door = call("user.server", &id);
        self.tell(
            ms + 9,
            Kind::Wasted {
                call: door.clone(),
                took_us: 8_765,
            },
        );
        self.tell(
            ms + 10,
            Kind::Shed {
                call: door,
                priority: None,
                reason: "full".to_owned(),
            },
        );
        self.request(ms, OP, 12, Outcome::Degraded);
    }

    /// What the injectors counted.
    pub(super) fn acted(&self) -> Vec<Entry> {
        let acted = |fault: &str, by: &str, acted| Entry::Acted {
            trial: self.trial,
            fault: fault.to_owned(),
            by: by.to_owned(),
            matched: None,
            acted,
        };
        let all = vec![
            acted("outage", "proxy", 2),
            acted("outage", "proxy", 1),
            acted(SLOW.0, "l7", self.acts),
        ];
        if self.model.busy { all } else { Vec::new() }
    }
}
