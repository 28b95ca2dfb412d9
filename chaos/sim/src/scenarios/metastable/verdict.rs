//! The map in words: from which load on an arm stays down.

use super::arms::Arm;
use super::world::Seen;
use super::{DOWN, Spot, UP, percent};

/// What became of an arm at the loads below capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It stays down from this load on, where the trigger lasts so long (s) or longer.
    StaysDown { load: f64, trigger: f64 },
    /// It comes back, but from this load on not for everybody.
    Limps { load: f64 },
    /// It comes back at all of them, up to this one.
    ComesBack { load: f64 },
    /// No load below capacity was tried.
    Unknown,
}

impl Verdict {
    pub(super) fn of(arm: Arm, spots: &[Spot], seen: &[Seen]) -> Self {
        let mut mine: Vec<(&Spot, f64)> = spots
            .iter()
            .zip(seen)
            .filter(|(spot, _)| spot.arm == arm && spot.load < 1.0)
            .map(|(spot, seen)| (spot, seen.goodput))
            .collect();
        mine.sort_by(|(a, _), (b, _)| {
            let by_load = a.load.total_cmp(&b.load);
            by_load.then(a.trigger.total_cmp(&b.trigger))
        });
        let first_below = |least: f64| {
            mine.iter()
                .find(|(_, goodput)| *goodput < least)
                .map(|(spot, _)| *spot)
        };
        if let Some(&Spot { load, trigger, .. }) = first_below(DOWN) {
            return Self::StaysDown { load, trigger };
        }
        if let Some(&Spot { load, .. }) = first_below(UP) {
            return Self::Limps { load };
        }
        mine.last()
            .map_or(Self::Unknown, |(spot, _)| Self::ComesBack {
                load: spot.load,
            })
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::StaysDown { load, trigger } => format!(
                "stays down from a load of {} % on, once the server has stood still for {trigger} s",
                percent(load)
            ),
            Self::Limps { load } => format!(
                "comes back, but from a load of {} % on not always for {} % of the callers",
                percent(load),
                percent(UP)
            ),
            Self::ComesBack { load } => {
                format!(
                    "comes back at every load below capacity (tried: up to {} %)",
                    percent(load)
                )
            }
            Self::Unknown => "no load below capacity was tried".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a map of (load, trigger, goodput).
    fn verdict(fields: &[(f64, f64, f64)]) -> Verdict {
        let arm = Arm::Naive;
        let spots: Vec<Spot> = fields
            .iter()
            .map(|&(load, trigger, _)| Spot { arm, load, trigger })
            .collect();
        let seen: Vec<Seen> = fields
            .iter()
            .map(|&(_, _, goodput)| Seen {
                goodput,
                attempts: 1.0,
            })
            .collect();
        Verdict::of(arm, &spots, &seen)
    }

    #[test]
    fn the_least_load_and_there_the_shortest_trigger_count() {
        let map = [
            (0.9, 0.0, 0.0),
            (0.5, 2.0, 0.0),
            (0.5, 1.0, 0.1),
            (0.5, 0.0, 1.0),
            (0.2, 2.0, 0.9),
        ];
        let expected = Verdict::StaysDown {
            load: 0.5,
            trigger: 1.0,
        };
        assert_eq!(verdict(&map), expected);
        let words = expected.words();
        assert!(words.contains("from a load of 50 % on"), "{words}");
        assert!(words.contains("for 1 s"), "{words}");
    }

    #[test]
    fn loads_above_capacity_say_nothing() {
        assert_eq!(verdict(&[(1.1, 0.0, 0.0)]), Verdict::Unknown);
        let map = [(0.6, 1.0, 1.0), (0.8, 1.0, 1.0), (1.1, 1.0, 0.0)];
        assert_eq!(verdict(&map), Verdict::ComesBack { load: 0.8 });
        let map = [(0.6, 1.0, 1.0), (0.8, 1.0, 0.9)];
        assert_eq!(verdict(&map), Verdict::Limps { load: 0.8 });
    }
}
