//! From a plan to arrivals: a pure function, lazily evaluated.

use std::time::Duration;

use crate::draw::{Draws, Purpose};
use crate::mix::Op;
use crate::plan::{Arrivals, Plan, Stream};

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number, from 0 in order of time over all streams.
    pub index: u64,
    /// When it is due, from the start of the load.
    pub at: Duration,
    /// What it does.
    pub op: Op,
}

/// The arrivals of `plan` in order of time. Each stream draws from a sequence of its own, so that a
/// change to one leaves the times of the others alone; of arrivals at the same moment the earlier
/// stream's comes first. A stream without a valid rate has none (see [`Plan::validate`]).
#[must_use]
pub fn schedule(plan: &Plan) -> Schedule {
    let end = plan.duration.as_secs_f64();
    let lanes = (0_u64..)
        .zip(&plan.streams)
        .map(|(i, stream)| Lane::new(stream, end, Draws::new(plan.seed, Purpose::Arrivals, i)))
        .collect();
    Schedule { lanes, index: 0 }
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
        Some(Arrival { index, at, op })
    }
}

/// One stream on its way.
#[derive(Clone, Debug)]
struct Lane {
    stream: Stream,
    draws: Draws,
    /// Seconds at which the stream ends.
    end: f64,
    /// Arrivals made so far.
    made: u64,
    /// Seconds of the latest arrival.
    now: f64,
    due: Option<(Duration, Op)>,
}

impl Lane {
    fn new(stream: &Stream, end: f64, draws: Draws) -> Self {
        let mut lane = Self {
            stream: stream.clone(),
            draws,
            end,
            made: 0,
            now: 0.0,
            due: None,
        };
        if stream.rate > 0.0 && stream.rate.is_finite() {
            lane.advance();
        }
        lane
    }

    fn advance(&mut self) {
        self.now = match self.stream.arrivals {
            // Not a sum of gaps, whose rounding would drift.
            Arrivals::Constant => self.made as f64 / self.stream.rate,
            Arrivals::Poisson => self.now + self.draws.exponential() / self.stream.rate,
        };
        self.made += 1;
        let op = self.stream.mix.pick(self.draws.unit());
        self.due = (self.now < self.end).then(|| (Duration::from_secs_f64(self.now), op));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Mix;
    use proptest::prelude::*;

    fn stream(op: Op, rate: f64, arrivals: Arrivals) -> Stream {
        Stream {
            mix: Mix::only(op),
            rate,
            arrivals,
        }
    }

    fn plan(streams: Vec<Stream>, seconds: u64, seed: u64) -> Plan {
        Plan {
            streams,
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

    proptest! {
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
