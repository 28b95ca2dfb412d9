//! What each kind of budget promises, kept as plainly as can be: from the history, in whole numbers.
//!
//! Figures are in tenths, so that a model needs no rounding of its own.

use std::time::Duration;

use proptest::prelude::*;
use resilience::FailureKind;
use resilience::budget::BudgetConfig;

/// What a model remembers of a grant.
pub type Hold = u64;

pub trait Model {
    fn config(&self) -> BudgetConfig;
    fn call_began(&mut self) {}
    fn call_ended(&mut self) {}
    fn advance(&mut self, _ms: u64) {}
    /// The budget granted an extra attempt, or refused it. Panics when it shouldn't have.
    fn judge(&mut self, after: Option<FailureKind>, granted: bool) -> Hold;
    fn given_back(&mut self, _hold: Hold) {}
    /// An attempt ended. `extra`: its grant, if it was an extra one; `extras`: whether its call
    /// has begun any.
    fn ended(&mut self, _ok: Result<(), FailureKind>, _extra: Option<Hold>, _extras: bool) {}
    fn never(&mut self) {}
    fn extra_dropped(&mut self) {}
    /// What the budget must say is left, if that is known exactly.
    fn left(&self) -> Option<f64> {
        None
    }
}

#[derive(Clone, Debug)]
pub struct Throttle {
    max: u64,
    ratio: u64,
    tokens: u64,
}

impl Throttle {
    pub fn any() -> impl Strategy<Value = Self> {
        (0u64..120, 0u64..20).prop_map(|(max, ratio)| Self {
            max,
            ratio,
            tokens: max,
        })
    }
}

impl Model for Throttle {
    fn config(&self) -> BudgetConfig {
        BudgetConfig::Throttle {
            max_tokens: self.max as f64 / 10.0,
            token_ratio: self.ratio as f64 / 10.0,
        }
    }

    fn judge(&mut self, _after: Option<FailureKind>, granted: bool) -> Hold {
        let above_half = 2 * self.tokens > self.max;
        assert_eq!(granted, above_half, "{self:?}");
        0
    }

    fn ended(&mut self, ok: Result<(), FailureKind>, _extra: Option<Hold>, _extras: bool) {
        match ok {
            Ok(()) => self.tokens = (self.tokens + self.ratio).min(self.max),
            Err(FailureKind::Caller | FailureKind::Cancelled) => {}
            Err(_) => self.never(),
        }
    }

    fn never(&mut self) {
        self.tokens = self.tokens.saturating_sub(10);
    }

    fn left(&self) -> Option<f64> {
        Some(self.tokens as f64 / 10.0)
    }
}

#[derive(Clone, Debug)]
pub struct Ratio {
    ratio: u64,
    ttl_ms: u64,
    min_per_second: u64,
    now: u64,
    calls: Vec<u64>,
    /// Those that were not given back.
    grants: Vec<Option<u64>>,
}

impl Ratio {
    pub fn any() -> impl Strategy<Value = Self> {
        (0u64..15, 1u64..2_000, 0u64..20).prop_map(|(ratio, ttl_ms, min_per_second)| Self {
            ratio,
            ttl_ms,
            min_per_second,
            now: 0,
            calls: vec![],
            grants: vec![],
        })
    }

    /// What the calls of the last `span` nanoseconds and the minimum are worth, in ten-thousandths
    /// of an attempt.
    fn earned(&self, span: u64) -> u64 {
        let calls = self.since(span, self.calls.iter().copied());
        calls * self.ratio * 1_000 + self.min_per_second * self.ttl_ms
    }

    fn granted(&self, span: u64) -> u64 {
        self.since(span, self.grants.iter().copied().flatten()) * 10_000
    }

    fn since(&self, span: u64, times: impl Iterator<Item = u64>) -> u64 {
        let within = |at: &u64| (self.now - at) * 1_000_000 <= span;
        times.filter(within).count() as u64
    }
}

impl Model for Ratio {
    fn config(&self) -> BudgetConfig {
        BudgetConfig::Ratio {
            ratio: self.ratio as f64 / 10.0,
            ttl: Duration::from_millis(self.ttl_ms),
            min_per_second: self.min_per_second as f64 / 10.0,
        }
    }

    fn call_began(&mut self) {
        self.calls.push(self.now);
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
    }

    /// The window of length ttl that ends at a grant holds no more than the covering window has
    /// earned. Any window can be cut short to end at its last grant, so that is all of them. A
    /// refusal, the other way about, needs a reason.
    fn judge(&mut self, _after: Option<FailureKind>, granted: bool) -> Hold {
        let (window, cover) = (self.ttl_ms * 1_000_000, self.ttl_ms * 1_050_000);
        if granted {
            self.grants.push(Some(self.now));
            assert!(self.granted(window) <= self.earned(cover), "{self:?}");
        } else {
            let wanted = self.granted(cover) + 10_000;
            assert!(wanted > self.earned(window), "{self:?}");
        }
        self.grants.len() as u64
    }

    fn given_back(&mut self, hold: Hold) {
        self.grants[hold as usize - 1] = None;
    }
}

#[derive(Clone, Debug)]
pub struct Bucket {
    capacity: u64,
    retry_cost: u64,
    timeout_cost: u64,
    deposit: u64,
    refund: bool,
    tokens: u64,
    /// All that ever went in and out.
    deposited: u64,
    spent: u64,
}

impl Bucket {
    pub fn any() -> impl Strategy<Value = Self> {
        (0u64..300, 1u64..60, 1u64..120, 0u64..20, any::<bool>()).prop_map(
            |(capacity, retry_cost, timeout_cost, deposit, refund)| Self {
                capacity,
                retry_cost,
                timeout_cost,
                deposit,
                refund,
                tokens: capacity,
                deposited: 0,
                spent: 0,
            },
        )
    }

    fn put(&mut self, tokens: u64) {
        self.tokens = (self.tokens + tokens).min(self.capacity);
    }
}

impl Model for Bucket {
    fn config(&self) -> BudgetConfig {
        let tenths = |tokens| tokens as f64 / 10.0;
        BudgetConfig::Bucket {
            capacity: tenths(self.capacity),
            retry_cost: tenths(self.retry_cost),
            timeout_cost: tenths(self.timeout_cost),
            deposit: tenths(self.deposit),
            refund: self.refund,
        }
    }

    fn judge(&mut self, after: Option<FailureKind>, granted: bool) -> Hold {
        let timed_out = after == Some(FailureKind::Timeout);
        let cost = [self.retry_cost, self.timeout_cost][usize::from(timed_out)];
        assert_eq!(granted, cost <= self.tokens, "{self:?}");
        if granted {
            self.tokens -= cost;
            self.spent += cost;
            assert!(self.spent <= self.capacity + self.deposited, "{self:?}");
        }
        cost
    }

    fn given_back(&mut self, cost: Hold) {
        self.spent -= cost;
        self.put(cost);
    }

    fn ended(&mut self, ok: Result<(), FailureKind>, extra: Option<Hold>, extras: bool) {
        let deposit = match (ok, self.refund, extra) {
            (Err(_), _, _) => return,
            (Ok(()), true, Some(cost)) => cost,
            (Ok(()), true, None) if extras => return,
            (Ok(()), _, _) => self.deposit,
        };
        self.deposited += deposit;
        self.put(deposit);
    }

    fn left(&self) -> Option<f64> {
        Some(self.tokens as f64 / self.retry_cost as f64)
    }
}

#[derive(Clone, Debug)]
pub struct Active {
    share: u64,
    min: u32,
    calls: u64,
    extras: u64,
}

impl Active {
    pub fn any() -> impl Strategy<Value = Self> {
        (0u64..15, 0u32..5).prop_map(|(share, min)| Self {
            share,
            min,
            calls: 0,
            extras: 0,
        })
    }

    fn limit(&self) -> u64 {
        (self.calls * self.share / 10).max(u64::from(self.min))
    }
}

impl Model for Active {
    fn config(&self) -> BudgetConfig {
        BudgetConfig::Active {
            share: self.share as f64 / 10.0,
            min: self.min,
        }
    }

    fn call_began(&mut self) {
        self.calls += 1;
    }

    fn call_ended(&mut self) {
        self.calls -= 1;
    }

    fn judge(&mut self, _after: Option<FailureKind>, granted: bool) -> Hold {
        self.extras += u64::from(granted);
        let over = self.extras + u64::from(!granted) > self.limit();
        assert_eq!(granted, !over, "{self:?}");
        0
    }

    fn given_back(&mut self, _hold: Hold) {
        self.extras -= 1;
    }

    fn extra_dropped(&mut self) {
        self.extras -= 1;
    }

    fn left(&self) -> Option<f64> {
        Some(self.limit().saturating_sub(self.extras) as f64)
    }
}
