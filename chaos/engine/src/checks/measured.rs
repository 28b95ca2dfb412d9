//! What was measured in one repeat.

use super::eval::Bound;
use super::outcome::ArmTrials;
use super::{Measured, Metric, Scope, Selector, Window};
use crate::measure::{Lengths, Tally, Trial};

impl Bound<'_> {
    /// The part of the run that something is measured over.
    pub(super) fn window<'a>(&'a self, m: &'a Measured) -> &'a Window {
        m.window.as_ref().unwrap_or(&self.check.window)
    }

    pub(super) fn lengths(&self, arm: &ArmTrials<'_>) -> Lengths {
        Lengths {
            duration_s: self.data.duration_s,
            recovering_s: arm.reset_s + crate::scenario::RECOVERY_GRACE.as_secs_f64(),
        }
    }

    /// What is measured, by second.
    pub(super) fn tallies(
        &self,
        trial: &Trial,
        m: &Measured,
    ) -> std::collections::BTreeMap<i64, Tally> {
        let window = self.window(m);
        match trial.seconds_of(window) {
            // What a stretch of time yields is what is answered in it, whenever it was due.
            Some(seconds) if m.metric == Metric::Goodput => trial.ended_in(&seconds, &m.selector),
            _ => trial.tallies(window, &m.selector),
        }
    }

    pub(super) fn tally(&self, trial: &Trial, m: &Measured) -> Tally {
        Tally::sum(self.tallies(trial, m).values())
    }

    /// The value of something measured in one repeat.
    pub(super) fn measure(&self, m: &Measured, repeat: usize) -> Result<f64, String> {
        let arm = self.arm_of(&m.arm)?;
        let trial = arm.trials[repeat];
        let value = match (m.metric.scope(), &m.selector) {
            (Scope::Breaker, Selector::Link(link)) => {
                trial.breaker_figure(m.metric, link, self.window(m), self.lengths(arm))
            }
            (Scope::Repeat, selector) => fact(m.metric, trial, selector),
            (Scope::Traffic | Scope::LinkTraffic, _) => self.peak(m, arm, trial),
            _ => self.figure(m, arm, trial, &self.tally(trial, m)),
        };
        value.ok_or_else(|| self.no_data(m, arm, trial))
    }

    pub(super) fn figure(
        &self,
        m: &Measured,
        arm: &ArmTrials<'_>,
        trial: &Trial,
        t: &Tally,
    ) -> Option<f64> {
        let window = self.window(m);
        let length = match trial.seconds_of(window) {
            Some(seconds) => Some((seconds.end - seconds.start) as f64),
            None => trial.length(window, self.lengths(arm)),
        };
        t.figure(m.metric, m.limit, length.unwrap_or(0.0))
    }

    fn peak(&self, m: &Measured, arm: &ArmTrials<'_>, trial: &Trial) -> Option<f64> {
        let spans = trial.spans(self.window(m), self.lengths(arm))?;
        let most = match (m.metric, &m.selector) {
            (Metric::InFlight, _) => trial.in_flight(&spans),
            (Metric::PeakRequests, _) => trial.peak_requests(&spans),
            (_, Selector::Link(link)) => trial.peak_attempts(link, &spans),
            _ => None,
        };
        most.map(|n| n as f64)
    }

    fn no_data(&self, m: &Measured, arm: &ArmTrials<'_>, trial: &Trial) -> String {
        let repeat = trial.start.repeat;
        if matches!(m.metric.scope(), Scope::Repeat | Scope::Breaker) {
            let why = if trial.injected.is_empty() {
                ": no fault was injected"
            } else {
                ""
            };
            return format!(
                "`{}` has no value in repeat {repeat} of {}{why}",
                m.metric, arm.name
            );
        }
        let of = match m.metric {
            Metric::RetryAfterShare => "unsuccessful requests".to_owned(),
            Metric::FirstWaitMean | Metric::FirstWaitMax => "waits before a second attempt".into(),
            Metric::SecondWaitMean | Metric::SecondWaitMax => "waits before a third attempt".into(),
            _ => m.selector.words(),
        };
        let window = self.window(m).words();
        format!("no {of} {window} in repeat {repeat} of {}", arm.name)
    }
}

fn fact(metric: Metric, trial: &Trial, selector: &Selector) -> Option<f64> {
    let facts = trial.facts.as_ref();
    match metric {
        Metric::Recovery => trial.recovery_s(selector),
        Metric::Acted => {
            let fault = match selector {
                Selector::Fault(name) => Some(name.as_str()),
                _ => None,
            };
            trial.acted(fault).map(|n| n as f64)
        }
        Metric::LostOrders => facts.map(|f| f.lost_orders as f64),
        Metric::DuplicateOrders => facts.map(|f| f.duplicate_orders as f64),
        Metric::Oversold => facts.map(|f| f.oversold as f64),
        Metric::Violations => facts.and_then(|f| f.violations).map(|n| n as f64),
        _ => None,
    }
}
