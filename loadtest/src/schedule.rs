//! From a plan to arrivals: a pure function, lazily evaluated.

use std::time::Duration;

use crate::draw::{Draws, Purpose};
use crate::mix::{Mix, Op};
use crate::plan::Plan;
use crate::profile::curve::Curve;
use crate::stream::{Arrivals, Source, Stream};

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number: of open streams from 0 in order of time over all of them, of closed ones see
    /// [`closed_index`](crate::closed_index).
    pub index: u64,
    /// The place of its stream in the plan.
    pub stream: usize,
    /// When it is due, from the start of the load.
    pub at: Duration,
    /// What it does.
    pub op: Op,
    /// Which customer of a closed stream it is; none of an open one, whose customers are drawn.
    pub customer: Option<usize>,
}

/// The arrivals of the open streams of `plan` in order of time. Each stream draws from a sequence of
/// its own, so that a change to one leaves the times of the others alone; of arrivals at the same
/// moment the earlier stream's comes first. A stream without a valid rate has none (see
/// [`Plan::validate`]).
#[must_use]
pub fn schedule(plan: &Plan) -> Schedule {
    let lanes = plan.streams.iter().enumerate();
    let lanes = lanes.filter_map(|(place, stream)| Lane::new(plan, place, stream));
    Schedule {
        lanes: lanes.collect(),
        index: 0,
    }
}

/// The iterator that [`schedule`] returns.
#[derive(Clone, Debug)]
pub struct Schedule {
    lanes: Vec<Lane>,
    index: u64,
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // A handful of streams: a scan is quicker than a heap. `min_by` keeps the first of equals.
        let lane = self
            .lanes
            .iter_mut()
            .filter(|lane| lane.due.is_some())
            .min_by_key(|lane| lane.due.map(|(at, _)| at))?;
        let (at, op) = lane.due?;
        lane.advance();
        let index = self.index;
        self.index += 1;
        Some(Arrival {
            index,
            stream: lane.stream,
            at,
            op,
            customer: None,
        })
    }
}

/// One stream on its way.
#[derive(Clone, Debug)]
struct Lane {
    stream: usize,
    mix: Mix,
    arrivals: Arrivals,
    curve: Curve,
    draws: Draws,
    /// Arrivals made so far.
    made: u64,
    /// The area under the rates up to the latest arrival.
    area: f64,
    due: Option<(Duration, Op)>,
}

impl Lane {
    fn new(plan: &Plan, place: usize, stream: &Stream) -> Option<Self> {
        let Source::Open { rate, arrivals } = &stream.source else {
            return None;
        };
        let mut lane = Self {
            stream: place,
            mix: stream.mix.clone(),
            arrivals: *arrivals,
            curve: rate.curve(plan.warm_up, plan.duration),
            draws: Draws::new(plan.seed, Purpose::Arrivals, place as u64),
            made: 0,
            area: 0.0,
            due: None,
        };
        lane.advance();
        Some(lane)
    }

    fn advance(&mut self) {
        self.area = match self.arrivals {
            // Not a sum of gaps, whose rounding would drift.
            Arrivals::Constant => self.made as f64,
            Arrivals::Poisson => self.area + self.draws.exponential(),
        };
        self.made += 1;
        let op = self.mix.pick(self.draws.unit());
        let at = self.curve.when(self.area);
        self.due = at.map(|at| (Duration::from_secs_f64(at), op));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use proptest::prelude::*;

    fn stream(op: Op, rate: impl Into<Profile>, arrivals: Arrivals) -> Stream {
        Stream::open(Mix::only(op), rate, arrivals)
    }

    fn plan(streams: Vec<Stream>, seconds: u64, seed: u64) -> Plan {
        Plan {
            streams,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(seconds),
            seed,
        }
    }

    #[test]
    fn constant_arrivals_are_even_and_their_number_is_exact() {
        let made: Vec<_> = schedule(&plan(
            vec![stream(Op::Order, 20.0, Arrivals::Constant)],
            30,
            1,
        ))
        .collect();
        assert_eq!(made.len(), 600);
        for arrival in &made {
            assert_eq!(arrival.at, Duration::from_millis(50) * arrival.index as u32);
        }
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_variance_of_an_exponential() {
        let rate = 50.0;
        let plan = plan(vec![stream(Op::Browse, rate, Arrivals::Poisson)], 4_000, 42);
        let times: Vec<f64> = schedule(&plan)
            .map(|arrival| arrival.at.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Standard errors: of the mean 1/√n, of an exponential's variance √(8/n), both relative.
        assert!(
            (mean * rate - 1.0).abs() < 4.0 / n.sqrt(),
            "mean gap {mean}"
        );
        assert!(
            (variance * rate * rate - 1.0).abs() < 4.0 * (8.0 / n).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn counts_a_second_of_poisson_arrivals_vary_as_their_mean() {
        let plan = plan(vec![stream(Op::Browse, 40.0, Arrivals::Poisson)], 5_000, 3);
        let mut counts = vec![0.0_f64; 5_000];
        for arrival in schedule(&plan) {
            counts[arrival.at.as_secs() as usize] += 1.0;
        }
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((mean - 40.0).abs() < 4.0 * (40.0 / n).sqrt(), "mean {mean}");
        // Index of dispersion of a Poisson count is 1, with a standard error of √(2/n).
        assert!(
            (variance / mean - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
            "{variance} / {mean}"
        );
    }

    #[test]
    fn a_stream_does_not_move_another() {
        let orders = stream(Op::Order, 20.0, Arrivals::Poisson);
        let times = |browses: f64| -> Vec<Duration> {
            let streams = vec![
                orders.clone(),
                stream(Op::Browse, browses, Arrivals::Poisson),
            ];
            schedule(&plan(streams, 60, 9))
                .filter(|a| a.op == Op::Order)
                .map(|a| a.at)
                .collect()
        };
        assert_eq!(times(40.0), times(5.0));
    }

    #[test]
    fn a_stream_without_a_rate_is_silent() {
        for rate in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            let streams = vec![stream(Op::Order, rate, Arrivals::Constant)];
            assert_eq!(schedule(&plan(streams, 1, 1)).count(), 0, "{rate}");
        }
    }

    fn profiles() -> impl Strategy<Value = Profile> {
        let rate = || 0.0_f64..400.0;
        let time = || (0_u64..20_000).prop_map(Duration::from_millis);
        prop_oneof![
            (1.0_f64..400.0).prop_map(Profile::Constant),
            (rate(), 1.0_f64..400.0, time(), prop::option::of(time())).prop_map(
                |(from, to, start, over)| Profile::Ramp {
                    from,
                    to,
                    start,
                    over
                }
            ),
            (
                prop::collection::vec((time(), rate()), 0..4),
                1.0_f64..400.0
            )
                .prop_map(|(mut steps, first)| {
                    steps.push((Duration::ZERO, first));
                    steps.sort_by_key(|(at, _)| *at);
                    Profile::Steps(steps)
                }),
            (rate(), 1.0_f64..400.0, time(), time()).prop_map(|(base, spike, at, lasts)| {
                Profile::Spike {
                    base,
                    spike,
                    at,
                    lasts,
                }
            }),
        ]
    }

    /// Expected arrivals between two seconds of the load, by the rates at the middles of strips.
    fn by_hand(profile: &Profile, warm_up: f64, end: f64, from: f64, to: f64) -> f64 {
        let strip = (to - from) / 20_000.0;
        let rate = |t: f64| match profile {
            Profile::Constant(rate) => *rate,
            Profile::Ramp {
                from,
                to,
                start,
                over,
            } => {
                let start = start.as_secs_f64();
                let over = over.map_or(end - warm_up - start, |over| over.as_secs_f64());
                let share = if t < start {
                    0.0
                } else {
                    ((t - start) / over.max(1e-9)).min(1.0)
                };
                from + (to - from) * share
            }
            Profile::Steps(steps) => {
                let begun = steps
                    .iter()
                    .rev()
                    .find(|(at, _)| at.as_secs_f64() <= t.max(0.0));
                begun.map_or(0.0, |(_, rate)| *rate)
            }
            Profile::Spike {
                base,
                spike,
                at,
                lasts,
            } => {
                let since = t - at.as_secs_f64();
                if (0.0..lasts.as_secs_f64()).contains(&since) {
                    *spike
                } else {
                    *base
                }
            }
        };
        let middle = |n: i32| from + (f64::from(n) + 0.5) * strip - warm_up;
        (0..20_000).map(|n| rate(middle(n)) * strip).sum()
    }

    proptest! {
        #[test]
        fn counts_match_the_integral_of_the_rate(
            profile in profiles(),
            seed: u64,
            even: bool,
            warm_up in 0_u64..5,
            cut in 0.05_f64..0.95,
        ) {
            let arrivals = if even { Arrivals::Constant } else { Arrivals::Poisson };
            let mut plan = plan(vec![stream(Op::View, profile.clone(), arrivals)], 25, seed);
            plan.warm_up = Duration::from_secs(warm_up);
            let (middle, end, warm_up) = (25.0 * cut, 25.0, warm_up as f64);
            let first = schedule(&plan).filter(|a| a.at.as_secs_f64() < middle).count() as f64;
            let second = schedule(&plan).count() as f64 - first;
            for (n, from, to) in [(first, 0.0, middle), (second, middle, end)] {
                let expected = by_hand(&profile, warm_up, end, from, to);
                // Four sigma of a Poisson count (and some, for small ones, whose tail is longer, and
                // thousands of cases); an even one is off by less than one arrival at either end. The
                // strips are as good as the width of the largest step in one of them.
                let strips = 400.0 * 25.0 / 20_000.0;
                let room = if even { 2.0 } else { 4.0 * expected.sqrt() + 5.0 };
                prop_assert!((n - expected).abs() <= room + strips, "{} not {}", n, expected);
            }
        }

        #[test]
        fn schedules_are_pure_ordered_numbered_and_inside_the_plan(
            seed: u64,
            rates in prop::collection::vec((0.5_f64..400.0, any::<bool>()), 1..5),
            seconds in 1_u64..10,
        ) {
            let streams = rates.iter().zip(Op::ALL.iter().cycle()).map(|((rate, even), op)| {
                let arrivals = if *even { Arrivals::Constant } else { Arrivals::Poisson };
                stream(*op, *rate, arrivals)
            });
            let plan = plan(streams.collect(), seconds, seed);
            let made: Vec<_> = schedule(&plan).collect();
            prop_assert_eq!(&made, &schedule(&plan).collect::<Vec<_>>());
            prop_assert!(made.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert!(made.iter().all(|arrival| arrival.at < plan.duration));
            prop_assert!((0_u64..).zip(&made).all(|(i, arrival)| arrival.index == i));
            for (op, (rate, even)) in Op::ALL.iter().zip(&rates).filter(|(_, (_, even))| *even) {
                let n = made.iter().filter(|arrival| arrival.op == *op).count() as f64;
                prop_assert!((n - rate * seconds as f64).abs() <= 1.0, "{} {} {}", op, n, even);
            }
        }
    }
}
