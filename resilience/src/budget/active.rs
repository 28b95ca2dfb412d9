//! Envoy's retry budget.

use parking_lot::Mutex;

use super::amount::{self, ONE};

/// Extra attempts under way against calls under way.
#[derive(Debug)]
pub(super) struct Active {
    share: u64,
    min: u64,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    calls: u64,
    extras: u64,
}

impl Active {
    pub(super) fn new(share: f64, min: u32) -> Self {
        Self {
            share: amount::of(share),
            min: u64::from(min),
            under_way: Mutex::default(),
        }
    }

    pub(super) fn call_began(&self) {
        self.under_way.lock().calls += 1;
    }

    pub(super) fn call_ended(&self) {
        self.under_way.lock().calls -= 1;
    }

    /// Grants one extra attempt, if there is room.
    pub(super) fn take(&self) -> bool {
        let mut under_way = self.under_way.lock();
        let room = under_way.extras < self.limit(&under_way);
        under_way.extras += u64::from(room);
        room
    }

    pub(super) fn give_back(&self) {
        self.under_way.lock().extras -= 1;
    }

    pub(super) fn left(&self) -> f64 {
        let under_way = self.under_way.lock();
        self.limit(&under_way).saturating_sub(under_way.extras) as f64
    }

    /// In whole attempts, the share rounded down.
    fn limit(&self, under_way: &UnderWay) -> u64 {
        let share = under_way.calls.saturating_mul(self.share) / ONE;
        share.max(self.min)
    }
}
