//! `slicer`: data leaves in slices of `average_size` ± `size_variation` bytes,
//! `delay` microseconds apart.
//!
//! Sizes are drawn uniformly, from the connection's seed; the last slice of a
//! chunk is what is left of it. Without an `average_size` nothing is cut
//! (Toxiproxy 2.12 dies of it), only spaced out.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::time::Instant;

use super::line::Line;
use super::queue::Queue;
use super::{Acts, Attributes, Kind, Piece, Pull, Stage};
use crate::draw::Seed;

pub(super) const KIND: Kind = Kind {
    name: "slicer",
    attributes: &["average_size", "size_variation", "delay"],
    acts: Acts::Data,
    stage,
};

fn stage(attributes: &Attributes, seed: Seed, _now: Instant) -> Box<dyn Stage> {
    Box::new(Slicer {
        sizes: Sizes::of(attributes),
        delay: attributes.micros("delay"),
        rng: seed.rng(),
        line: Line::default(),
        queue: Queue::default(),
    })
}

/// How large a slice is: from `least` to `most` bytes.
#[derive(Clone, Copy)]
struct Sizes {
    least: usize,
    most: usize,
}

impl Sizes {
    fn of(attributes: &Attributes) -> Self {
        let size = |name| usize::try_from(attributes.count(name)).unwrap_or(usize::MAX);
        let (average, variation) = (size("average_size"), size("size_variation"));
        if average == 0 {
            let (least, most) = (usize::MAX, usize::MAX);
            return Self { least, most };
        }
        // No slice is empty, however wide the variation.
        let least = average.saturating_sub(variation).max(1);
        let most = average.saturating_add(variation);
        Self { least, most }
    }

    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> usize {
        if self.least == self.most {
            self.most
        } else {
            rng.random_range(self.least..=self.most)
        }
    }
}

struct Slicer {
    sizes: Sizes,
    /// Between the beginnings of two slices.
    delay: Duration,
    rng: Xoshiro256PlusPlus,
    line: Line,
    queue: Queue,
}

impl Stage for Slicer {
    fn ready(&self) -> bool {
        self.queue.has_room()
    }

    fn push(&mut self, piece: Piece, now: Instant) {
        self.queue.push(piece, now);
    }

    fn pull(&mut self, now: Instant, room: bool) -> Pull {
        let Some(first) = self.queue.front() else {
            return self.queue.pull_end();
        };
        if !room {
            return Pull::Nothing;
        }
        let due = self.line.start(first.at);
        if due > now {
            return Pull::Until(due);
        }
        self.line.busy(due + self.delay, due, now);
        let Some(mut slice) = self.queue.take(self.sizes.draw(&mut self.rng)) else {
            return Pull::Nothing;
        };
        slice.at = due;
        Pull::Piece(Piece::Chunk(slice))
    }

    fn retune(&mut self, attributes: &Attributes, now: Instant) {
        self.sizes = Sizes::of(attributes);
        self.delay = attributes.micros("delay");
        // What the old delay still holds back, the new one may let out sooner.
        if self.line.start(now) > now + self.delay {
            self.line.busy(now + self.delay, now, now);
        }
    }

    fn release(self: Box<Self>) -> Vec<Piece> {
        self.queue.into_pieces()
    }

    fn held(&self) -> usize {
        self.queue.held()
    }
}

#[cfg(test)]
mod tests {
    use super::super::End;
    use super::super::testing::{attributes, bytes, chunk, drain, sizes, stage};
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn slices_are_apart_by_the_delay_and_the_end_follows_the_last() {
        let start = Instant::now();
        let mut slicer = stage(&KIND, r#"{"average_size":10,"delay":2000}"#);
        slicer.push(chunk(&[7; 25], start), start);
        slicer.push(Piece::End(End::HalfClose), start);
        let out = drain(slicer.as_mut(), start);
        let expected = [(start, 10), (start + 2 * MS, 10), (start + 4 * MS, 5)];
        assert_eq!(sizes(&out), expected);
        assert!(
            matches!(out.last(), Some((at, Pull::Piece(Piece::End(_)))) if *at == start + 4 * MS)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_size_nothing_is_cut() {
        let start = Instant::now();
        for absent in ["{}", r#"{"average_size":-5,"size_variation":3}"#] {
            let mut slicer = stage(&KIND, absent);
            slicer.push(chunk(&[7; 5_000], start), start);
            assert_eq!(sizes(&drain(slicer.as_mut(), start)), [(start, 5_000)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_delay_acts_on_what_is_held() {
        let start = Instant::now();
        let mut slicer = stage(&KIND, r#"{"average_size":1,"delay":60000000}"#);
        slicer.push(chunk(b"abc", start), start);
        assert!(matches!(slicer.pull(start, true), Pull::Piece(_)));
        assert!(matches!(slicer.pull(start, true), Pull::Until(_)));
        slicer.retune(
            &attributes(&KIND, r#"{"average_size":1,"delay":1000}"#),
            start,
        );
        let out = drain(slicer.as_mut(), start);
        assert_eq!(sizes(&out), [(start + MS, 1), (start + 2 * MS, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_size_is_the_average() {
        let start = Instant::now();
        let mut slicer = stage(&KIND, r#"{"average_size":100,"size_variation":60}"#);
        slicer.push(chunk(&vec![0; 200_000], start), start);
        let slices = sizes(&drain(slicer.as_mut(), start)).len();
        // 2000 slices of 100 ± 35 (one deviation): ten deviations of their number are 160.
        assert!((1_840..=2_160).contains(&slices), "{slices}");
    }

    proptest! {
        /// Content and order are kept, and sizes stay within their bounds, for
        /// any numbers at all.
        #[test]
        fn slicing_keeps_the_content(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..600), 1..10),
            average in prop_oneof![-5..60_i64, Just(i64::MAX), Just(i64::MIN)],
            variation in prop_oneof![-5..90_i64, Just(i64::MAX)],
            delay in prop_oneof![0..3_000_i64, Just(i64::MIN)],
        ) {
            let start = Instant::now();
            let mut slicer = stage(&KIND, &format!(
                r#"{{"average_size":{average},"size_variation":{variation},"delay":{delay}}}"#
            ));
            for data in &chunks {
                slicer.push(chunk(data, start), start);
            }
            let out = drain(slicer.as_mut(), start);
            prop_assert_eq!(bytes(&out), chunks.concat());
            prop_assert_eq!(slicer.held(), 0);
            if average > 0 {
                let most = average.saturating_add(variation.max(0)) as usize;
                prop_assert!(sizes(&out).iter().all(|(_, size)| *size >= 1 && *size <= most));
            }
        }
    }
}
