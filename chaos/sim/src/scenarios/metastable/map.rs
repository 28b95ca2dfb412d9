//! The map of another server, for other callers: what a real shop is measured against.

use std::time::Duration;

use super::NAME;
use super::world::{self, Callers, Shop};
use crate::error::{SimError, all_within, within};
use crate::run::Run;
use crate::stats::Sample;

/// Where the map is looked at: every combination is a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Calls a second, above 0, at most 10 000.
    pub rates: Vec<f64>,
    /// How long the trigger lasts, in seconds, 0 to 60.
    pub triggers: Vec<f64>,
    /// Repetitions of each field, 1 to 1 000.
    pub repetitions: u32,
}

/// One field of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Calls a second.
    pub rate: f64,
    /// How long the trigger lasted, in seconds.
    pub trigger: f64,
    /// The share of the calls that are answered after the trigger: the mean over repetitions.
    pub answered: f64,
    /// Attempts a second that arrive at the server meanwhile.
    pub attempts: f64,
}

/// Runs the scenario's model with this server and these callers. A field depends on seed, server,
/// callers and its own place alone: on a finer grid it comes out the same.
///
/// The fields come by trigger, then rate.
///
/// # Errors
/// [`SimError::Parameter`] for a value out of its range.
pub fn map(shop: &Shop, callers: &Callers, grid: &Grid, run: &Run) -> Result<Vec<Field>, SimError> {
    all_within("rates", &grid.rates, &(f64::MIN_POSITIVE..=10_000.0))?;
    all_within("triggers", &grid.triggers, &(0.0..=60.0))?;
    within("repetitions", grid.repetitions, 1..=1_000)?;
    let places: Vec<(f64, f64)> = grid
        .triggers
        .iter()
        .flat_map(|trigger| grid.rates.iter().map(|rate| (*rate, *trigger)))
        .collect();
    let root = run.root(NAME).role("map");
    let seen = run.repeat(places.len(), grid.repetitions, |i, repetition| {
        let (rate, trigger) = places[i];
        let seed = root
            .nth(rate.to_bits())
            .nth(trigger.to_bits())
            .nth(repetition);
        world::look(shop, callers, rate, Duration::from_secs_f64(trigger), seed)
    });
    let fields = places.iter().zip(&seen).map(|((rate, trigger), seen)| {
        let mean =
            |figure: fn(&world::Seen) -> f64| seen.iter().map(figure).collect::<Sample>().mean();
        Field {
            rate: *rate,
            trigger: *trigger,
            answered: mean(|seen| seen.goodput),
            attempts: mean(|seen| seen.attempts),
        }
    });
    Ok(fields.collect())
}

#[cfg(test)]
mod tests {
    use resilience::{Policy, preset, server};

    use super::super::{DOWN, UP};
    use super::*;
    use crate::model::ServiceTime;

    const SECOND: Duration = Duration::from_secs(1);

    /// The shop of the scenario `retry-storm`: ten at once, 50 ms each, three of them left.
    fn shop() -> Shop {
        Shop {
            workers: 10,
            service: ServiceTime::Constant(Duration::from_millis(50)),
            queue: 10_000,
            left: 3,
            poisson: true,
            before: 6 * SECOND,
            settle: 20 * SECOND,
            watch: 8 * SECOND,
        }
    }

    fn callers(policy: Policy) -> Callers {
        let naive = preset::naive();
        Callers {
            policy: Policy {
                deadline: naive.deadline,
                attempt_timeout: naive.attempt_timeout,
                ..policy
            },
            door: server::preset::unlimited(),
        }
    }

    fn fields(policy: Policy, rates: &[f64], triggers: &[f64]) -> Vec<Field> {
        let grid = Grid {
            rates: rates.to_vec(),
            triggers: triggers.to_vec(),
            repetitions: 2,
        };
        map(&shop(), &callers(policy), &grid, &Run::new(7)).unwrap()
    }

    /// HotOS '21 on another server: a cut to a third is enough. A third of the capacity can't be
    /// amplified above it by 3 attempts; three fifths can, once the queue is longer than an attempt
    /// waits, and a budget takes that load away.
    #[test]
    fn a_cut_of_capacity_is_a_trigger_too() {
        let naive = fields(preset::naive(), &[40.0, 120.0], &[0.1, 5.0]);
        let answered: Vec<f64> = naive.iter().map(|field| field.answered).collect();
        assert!(
            answered[0] >= UP && answered[1] >= UP,
            "too short: {answered:?}"
        );
        assert!(answered[2] >= UP, "low load: {answered:?}");
        assert!(answered[3] < DOWN, "{answered:?}");
        assert!((naive[3].attempts - 360.0).abs() < 20.0, "{naive:?}");
        let budget = fields(preset::grpc_a6(), &[120.0], &[5.0]);
        assert!(budget[0].answered >= UP, "{budget:?}");
    }

    #[test]
    fn a_field_does_not_depend_on_the_grid_around_it() {
        let alone = fields(preset::naive(), &[120.0], &[2.0]);
        let among = fields(preset::naive(), &[60.0, 120.0], &[0.5, 2.0]);
        assert_eq!(alone[0], among[3]);
        let places: Vec<_> = among.iter().map(|f| (f.trigger, f.rate)).collect();
        assert_eq!(
            places,
            [(0.5, 60.0), (0.5, 120.0), (2.0, 60.0), (2.0, 120.0)]
        );
    }

    #[test]
    fn a_place_out_of_range_is_told() {
        let at = |rates: &[f64], triggers: &[f64]| {
            let grid = Grid {
                rates: rates.to_vec(),
                triggers: triggers.to_vec(),
                repetitions: 1,
            };
            map(&shop(), &callers(preset::naive()), &grid, &Run::new(1))
                .unwrap_err()
                .to_string()
        };
        assert!(
            at(&[0.0], &[1.0]).starts_with("rates 0"),
            "{}",
            at(&[0.0], &[1.0])
        );
        assert!(at(&[1.0], &[61.0]).starts_with("triggers 61"));
        assert!(at(&[], &[1.0]).contains("at least one"));
    }
}
