//! What the generator tells about itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// A run's figures about the generator; those about the target are in the records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStats {
    /// Arrivals whose time came.
    pub planned: u64,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that ended by themselves: with an answer, an error or at the bound of their time.
    pub completed: u64,
    /// Arrivals that were not sent because too many requests were under way already.
    pub generator_full: u64,
    /// Records that nobody took in time.
    pub dropped_records: u64,
    /// The most requests under way at once, as a customer counts: a request with several attempts,
    /// and the waits between them, is one.
    pub in_flight_max: usize,
    /// Started − scheduled of every request that was sent.
    pub lateness: Histogram,
    /// CPU time of this process during the run, in nanoseconds.
    pub cpu_ns: u64,
    /// How long the run took, up to the last answer, in nanoseconds.
    pub wall_ns: u64,
    /// Whether it was stopped before its plan was done.
    pub stopped: bool,
    /// Why the customers' tokens could not be renewed; none if they were, or lived long enough.
    #[serde(default)]
    pub not_renewed: Option<String>,
}

impl RunStats {
    /// The 99th percentile of lateness above which a run is void.
    pub const MAX_LATENESS: Duration = Duration::from_millis(20);
    /// The share of the machine above which the generator disturbs what it measures.
    pub const MAX_CPU_SHARE: f64 = 0.25;

    /// The share of a machine of `cores` cores that this process took.
    #[must_use]
    pub fn cpu_share(&self, cores: usize) -> f64 {
        if self.wall_ns == 0 {
            return 0.0;
        }
        self.cpu_ns as f64 / (self.wall_ns as f64 * cores.max(1) as f64)
    }

    /// Why this run measured the generator and not the target, on a machine of `cores` cores
    /// ([`crate::clock::cores`]); none if it is a good one.
    #[must_use]
    pub fn void_reason(&self, cores: usize) -> Option<String> {
        if self.stopped {
            return Some("it was stopped before its end".to_owned());
        }
        if self.generator_full > 0 {
            return Some(format!(
                "{} arrivals were not sent: {} requests were under way already",
                self.generator_full, self.in_flight_max
            ));
        }
        if self.dropped_records > 0 {
            return Some(format!("{} records were lost", self.dropped_records));
        }
        if let Some(why) = &self.not_renewed {
            return Some(format!("the customers' tokens were not renewed: {why}"));
        }
        let late = self.lateness.quantile(0.99).unwrap_or_default();
        if late > Self::MAX_LATENESS {
            return Some(format!(
                "arrivals were late: {:.1} ms at the 99th percentile, {} ms is the most allowed",
                late.as_secs_f64() * 1e3,
                Self::MAX_LATENESS.as_millis()
            ));
        }
        let share = self.cpu_share(cores);
        (share > Self::MAX_CPU_SHARE).then(|| {
            format!(
                "the generator took {:.0} % of the machine, {:.0} % is the most allowed",
                share * 1e2,
                Self::MAX_CPU_SHARE * 1e2
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RunStats {
        let mut lateness = Histogram::new();
        (0..1_000).for_each(|_| lateness.record(Duration::from_millis(1)));
        RunStats {
            planned: 1_000,
            sent: 1_000,
            completed: 1_000,
            generator_full: 0,
            dropped_records: 0,
            in_flight_max: 9,
            lateness,
            cpu_ns: 400_000_000,
            wall_ns: 1_000_000_000,
            stopped: false,
            not_renewed: None,
        }
    }

    #[test]
    fn each_reason_is_told_and_a_good_run_has_none() {
        let reason = |stats: RunStats| stats.void_reason(2).unwrap_or_default();
        assert_eq!(reason(good()), "");
        assert!(
            reason(RunStats {
                stopped: true,
                ..good()
            })
            .contains("stopped")
        );
        assert!(
            reason(RunStats {
                generator_full: 3,
                ..good()
            })
            .contains("3 arrivals")
        );
        assert!(
            reason(RunStats {
                dropped_records: 2,
                ..good()
            })
            .contains("2 records")
        );
        assert!(
            reason(RunStats {
                not_renewed: Some("no answer".to_owned()),
                ..good()
            })
            .contains("not renewed: no answer")
        );
        assert!(
            reason(RunStats {
                cpu_ns: 510_000_000,
                ..good()
            })
            .contains("% of the machine")
        );
        assert!(
            good().void_reason(1).is_some(),
            "0.4 of one core is too much"
        );
        let mut late = good();
        (0..11).for_each(|_| late.lateness.record(Duration::from_millis(30)));
        assert!(reason(late).contains("late: 30"), "11 of 1011 are over 1 %");
        assert_eq!(
            reason(RunStats {
                wall_ns: 0,
                cpu_ns: 0,
                ..good()
            }),
            "",
            "an empty run"
        );
    }
}
