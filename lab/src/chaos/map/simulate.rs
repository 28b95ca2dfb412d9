//! The simulator's map around the points.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chaos_engine::scenario::map::{Look, Map, Point};
use chaos_report::map::Background;
use chaos_sim::Run;
use chaos_sim::model::ServiceTime;
use chaos_sim::scenarios::metastable::{self, Callers, Grid, Shop};

/// How often each field is simulated.
const REPETITIONS: u32 = 5;

/// Values between two that are measured.
const BETWEEN: usize = 2;

/// An arm's map, on a grid that is finer than the measured one and has all of its values.
///
/// # Errors
/// When the map has no such arm, or the simulator refuses a value.
pub(super) fn background(
    map: &Map,
    arm: &str,
    (look, warm_up): (Look, Duration),
    seed: u64,
) -> Result<Background> {
    let (shop, callers) = model(map, arm, (look, warm_up))?;
    let triggers: Vec<f64> = map.triggers.iter().map(Duration::as_secs_f64).collect();
    let grid = Grid {
        rates: finer(&map.rates, 10_000.0),
        triggers: finer(&triggers, 60.0),
        repetitions: REPETITIONS,
    };
    let fields = metastable::map(&shop, &callers, &grid, &Run::new(seed))?;
    let rows = fields.chunks(grid.rates.len());
    Ok(Background {
        answered: rows
            .map(|row| row.iter().map(|field| field.answered).collect())
            .collect(),
        rates: grid.rates,
        triggers_s: grid.triggers,
        repetitions: REPETITIONS,
    })
}

/// Server and callers of an arm, for the simulator.
fn model(map: &Map, arm: &str, (look, warm_up): (Look, Duration)) -> Result<(Shop, Callers)> {
    let model = &map.model;
    let found = model.arms.iter().find(|model| model.name == arm);
    let found = found.with_context(|| format!("[map] has no arm {arm:?}"))?;
    let shop = Shop {
        workers: model.at_once,
        service: ServiceTime::Constant(model.service_time),
        queue: model.queue as usize,
        left: model.left,
        poisson: model.poisson,
        before: warm_up + look.before,
        settle: look.settle,
        watch: look.watch,
    };
    let callers = Callers {
        policy: found.policy.clone(),
        door: found.door.clone(),
    };
    Ok((shop, callers))
}

/// What the map says of a point, which is one of its fields; nothing is answered where it is none.
pub(super) fn at(background: &Background, point: &Point) -> f64 {
    let place = |all: &[f64], value: f64| all.iter().position(|known| *known == value);
    let row = place(&background.triggers_s, point.trigger.as_secs_f64());
    let column = place(&background.rates, point.rate);
    row.zip(column)
        .map_or(0.0, |(row, column)| background.answered[row][column])
}

/// The values, some between each two, and one beyond either end, up to `most`.
fn finer(values: &[f64], most: f64) -> Vec<f64> {
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Vec::new();
    };
    let steps = (BETWEEN + 1) as f64;
    let step = |pair: &[f64]| (pair[1] - pair[0]) / steps;
    let mut all = vec![first / 2.0];
    for pair in values.windows(2) {
        all.push(pair[0]);
        all.extend((1..=BETWEEN).map(|i| pair[0] + step(pair) * i as f64));
    }
    all.push(*last);
    let beyond = last + values.windows(2).last().map_or(last / 2.0, step);
    all.push(beyond.min(most));
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use chaos_engine::Scenario;
    use chaos_engine::scenario::map::{DOWN, UP};
    use chaos_report::map::Standing;

    use super::*;

    #[test]
    fn a_finer_grid_has_the_measured_values_and_rises() {
        let all = finer(&[50.0, 100.0, 150.0], 10_000.0);
        assert_eq!(all.len(), 9);
        assert!(
            [50.0, 100.0, 150.0].iter().all(|v| all.contains(v)),
            "{all:?}"
        );
        assert!(
            all.is_sorted() && all[0] == 25.0 && all[8] > 166.0,
            "{all:?}"
        );
        assert_eq!(finer(&[2.0], 60.0), [1.0, 2.0, 3.0]);
        assert_eq!(finer(&[60.0], 60.0), [30.0, 60.0]);
        assert!(finer(&[], 1.0).is_empty());
    }

    #[test]
    fn up_and_down_are_the_simulators() {
        assert_eq!((UP, DOWN), (metastable::UP, metastable::DOWN));
    }

    /// Why the file has these nine points: for `naive` the border lies between them, `grpc-a6`
    /// comes back from all, and chance decides none of them in the simulator.
    #[test]
    fn the_border_of_retry_storm_lies_inside_of_its_points_and_on_none() {
        let text = include_str!("../../../../chaos/scenarios/retry-storm.toml");
        let scenario = Scenario::parse(text, "retry-storm.toml").unwrap();
        let map = scenario.map.unwrap();
        let warm_up = Duration::from_secs(3);
        let standings = |arm: &str| -> Vec<Standing> {
            let (shop, callers) = model(&map, arm, (map.quick, warm_up)).unwrap();
            // The values of the points alone: fields don't depend on those around them.
            let grid = Grid {
                rates: map.rates.clone(),
                triggers: map.triggers.iter().map(Duration::as_secs_f64).collect(),
                repetitions: 2,
            };
            let fields = metastable::map(&shop, &callers, &grid, &Run::new(3)).unwrap();
            fields
                .iter()
                .map(|field| Standing::of(field.answered))
                .collect()
        };
        let (up, down) = (Standing::Up, Standing::Down);
        let naive = [up, up, up, up, down, down, up, down, down];
        assert_eq!(standings("naive"), naive);
        assert_eq!(standings("grpc-a6"), [up; 9]);
    }
}
