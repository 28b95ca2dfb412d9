//! Faults that strike the model, from a seed.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use super::Model;
use crate::chance::Chance;
use crate::history::{FaultNote, FaultPhase};

/// A fault of the model.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash,
    Flaky,
    Lossy,
    Slow,
}

const FAULTS: [Fault; 4] = [Fault::Crash, Fault::Flaky, Fault::Lossy, Fault::Slow];

/// Faults one after the other until `until`; the last one is healed by then. Each is told of.
pub(super) async fn storm(
    model: &Model,
    mut chance: Chance,
    until: Instant,
    notes: UnboundedSender<FaultNote>,
) {
    for number in 0.. {
        sleep(Duration::from_millis(chance.between(60, 260))).await;
        let lasts = Duration::from_millis(chance.between(120, 420));
        if Instant::now() + lasts >= until {
            return;
        }
        // Each kind comes once before any comes again.
        let nth = usize::try_from(number).unwrap_or(0) + chance.below(2);
        let fault = FAULTS[nth % FAULTS.len()];
        let name = format!("{}-{number}", fault.name());
        // Nobody listens any more when the run is over.
        let _ = notes.send(FaultNote::new(name.clone(), FaultPhase::On, fault.what()));
        fault.begin(model);
        sleep(lasts).await;
        fault.end(model);
        let _ = notes.send(FaultNote::new(name, FaultPhase::Off, ""));
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Flaky => "flaky",
            Self::Lossy => "lossy",
            Self::Slow => "slow",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Crash => "the order service is killed",
            Self::Flaky => "replies of the product service get lost",
            Self::Lossy => "replies to clients get lost",
            Self::Slow => "payments take as long as reservations live",
        }
    }

    fn begin(self, model: &Model) {
        let service = &model.service;
        match self {
            Self::Crash => service.kill(),
            Self::Flaky => service.inner.weather.lock().flaky = 0.25,
            Self::Lossy => service.inner.weather.lock().lossy = 0.3,
            Self::Slow => service.inner.weather.lock().slow = true,
        }
    }

    fn end(self, model: &Model) {
        let service = &model.service;
        match self {
            Self::Crash => service.start(),
            Self::Flaky => service.inner.weather.lock().flaky = 0.0,
            Self::Lossy => service.inner.weather.lock().lossy = 0.0,
            Self::Slow => service.inner.weather.lock().slow = false,
        }
    }
}
